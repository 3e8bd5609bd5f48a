/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOCTOR_CONF_H
#define DOCTOR_CONF_H

/* A configuration as doveconf prints it: settings, and sections of settings. */

struct doctor_section;

struct doctor_setting {
	const char *name;
	/* What follows "=", or the name of a section, which may be "". */
	const char *value;
	/* NULL if it is none. */
	const struct doctor_section *section;
};

struct doctor_section {
	ARRAY(struct doctor_setting) settings;
};

struct doctor_conf {
	/* Dovecot's version, "2.4.1-4", and the file, as doveconf names them;
	   "" if it doesn't. */
	const char *version, *path;
	struct doctor_section root;
};

/* text is doveconf's output. Lines that aren't understood are ignored. */
const struct doctor_conf *doctor_conf_parse(pool_t pool, const char *text);

/* The next section with this name, or NULL. *idx is 0 at first. */
const struct doctor_setting *
doctor_section_next(const struct doctor_section *section, const char *name,
		    unsigned int *idx);
/* The section of this name, or NULL. */
const struct doctor_section *
doctor_section_find(const struct doctor_section *section, const char *name,
		    const char *value);
/* A plain setting in it, or NULL. */
const char *doctor_section_get(const struct doctor_section *section,
			       const char *name);

/* The same, or "". section may be NULL. */
const char *doctor_section_str(const struct doctor_section *section,
			       const char *name);

/* A setting as it is for a protocol, which may be NULL; "" if there is none. */
const char *doctor_conf_get(const struct doctor_conf *conf,
			    const char *protocol, const char *name);
/* The same of those that stand in plugin { } on 2.3. */
const char *doctor_conf_get_plugin(const struct doctor_conf *conf,
				   const char *protocol, const char *name);
/* The words of a setting that is a list, on the data stack. */
const char *const *doctor_conf_list(const struct doctor_conf *conf,
				    const char *protocol, const char *name);
/* TRUE if a list says something of its own in a block of this protocol, so that
   a word that is added to the list for all doesn't count there. */
bool doctor_conf_list_is_own(const struct doctor_conf *conf,
			     const char *protocol, const char *name,
			     const char *word);

#endif
