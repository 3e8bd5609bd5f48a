/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "module-dir.h"
#include "companion.h"

#include <dlfcn.h>

/* By the function that a companion needs its process is known. */
static const struct {
	const char *name, *needs;
} companions[] = {
	{ "imap_mail_seal", "imap_client_created_hook_set" },
	{ "pop3_mail_seal", "pop3_client_created_hook_set" },
};

static struct {
	void *handle;
	void (*deinit)(void);
} companion;

static const char *find_companion(void)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(companions); i++) {
		if (dlsym(RTLD_DEFAULT, companions[i].needs) != NULL)
			return companions[i].name;
	}
	return NULL;
}

static const char *companion_path(const struct module *module, const char *name)
{
	const char *slash = strrchr(module->path, '/');

	return t_strdup_printf("%.*slib11_%s_plugin.so", slash == NULL ? 0 :
			       (int)(slash + 1 - module->path), module->path,
			       name);
}

static void *find_symbol(const char *name, const char *suffix)
{
	return dlsym(companion.handle,
		     t_strconcat(name, "_plugin_", suffix, NULL));
}

/* Returns 0, or -1 and error_r. */
static int start_companion(const char *name, const char **error_r)
{
	const char *const *version = find_symbol(name, "version");
	void (*init)(struct module *) = find_symbol(name, "init");

	companion.deinit = find_symbol(name, "deinit");
	if (version == NULL || init == NULL || companion.deinit == NULL) {
		*error_r = "it is no module of mail_seal";
		return -1;
	}
	if (strcmp(*version, DOVECOT_ABI_VERSION) != 0) {
		*error_r = t_strdup_printf("it was built for Dovecot %s and "
			"this is %s: install all modules of one build",
			*version, DOVECOT_ABI_VERSION);
		return -1;
	}
	init(NULL);
	return 0;
}

void companion_init(const struct module *module)
{
	const char *path, *error, *name = find_companion();

	if (name == NULL)
		return;
	path = companion_path(module, name);
	companion.handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (companion.handle == NULL) {
		/* The text names the file. */
		i_error("mail_seal: cannot load the module for this service: "
			"%s", dlerror());
		return;
	}
	if (start_companion(name, &error) < 0) {
		i_error("mail_seal: cannot use %s: %s", path, error);
		dlclose(companion.handle);
		companion.handle = NULL;
	}
}

void companion_deinit(void)
{
	if (companion.handle == NULL)
		return;
	companion.deinit();
	dlclose(companion.handle);
	companion.handle = NULL;
}
