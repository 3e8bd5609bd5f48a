/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "time-util.h"
#include "str.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "store-util.h"
#include "under-valgrind.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Changing and destroying keyrings in files. What becomes of a change that
   fails or is killed stands in test-store-kill.c. */

#define DIR ".test-store-update.dir"
#define PATH DIR"/keyring"
#define OTHER_ID 65534
#define PUT_BACK_COUNT 2000

static struct keyring *first;
static char *first_text;

/* The folder with the first keyring in it. */
static struct keyring_store *store_new(void)
{
	test_dir_make(DIR);
	test_file_make(PATH, first_text);
	return keyring_store_file_init(PATH);
}

static struct test_change
change_new(int (*func)(struct keyring_edit *, struct test_change *,
		       const char **))
{
	return (struct test_change) { .secret = SECRET_1, .func = func };
}

static void test_update(void)
{
	struct test_change change = change_new(test_change_password);
	struct keyring_store *store = store_new();
	struct keyring_opened opened;
	struct keyring *keyring;
	const char *error, *text;
	struct stat st;
	int ret;

	test_begin("store update");
	change.new_secret = SECRET_2;
	test_assert(test_store_change(store, &change, &error) == 1);
	test_assert_ucmp(change.count, ==, 1);
	test_assert(keyring_store_notice(store) == NULL);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	test_assert(stat(PATH, &st) == 0 && (st.st_mode & 07777) == 0600);
	test_assert(keyring_store_load(store, &keyring, &error) == 1);
	test_assert(keyring_open_password(keyring, SECRET_1, &opened,
					  &error) == 0);
	test_assert(keyring_open_password(keyring, SECRET_2, &opened,
					  &error) == 1);
	age_identities_deinit(&opened.identities);
	keyring_free(&keyring);
	age_identities_deinit(&change.identities);
	test_end();

	test_begin("store update nothing");
	text = test_file_read(PATH);
	change = change_new(test_change_nothing);
	change.secret = SECRET_2;
	test_assert(test_store_change(store, &change, &error) == 0);
	test_assert_strcmp(test_file_read(PATH), text);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	age_identities_deinit(&change.identities);
	test_end();

	test_begin("store update failing change");
	change = change_new(test_change_add);
	change.change_error = "not today";
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "not today");
	test_assert_strcmp(test_file_read(PATH), text);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	test_end();

	test_begin("store update failing verification");
	change = change_new(test_change_add);
	change.secret = SECRET_2;
	change.verify_error = "does not open";
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "keyring file "PATH": cannot store the new "
		"keyring, the previous one stays in its place: does not open");
	test_assert_strcmp(test_file_read(PATH), text);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	age_identities_deinit(&change.identities);
	test_end();

	test_begin("store update none");
	i_unlink(PATH);
	change = change_new(test_change_add);
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "keyring file "PATH": does not exist");
	test_assert_strcmp(test_dir_list(DIR), "");
	test_dir_remove(DIR);
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "keyring file "PATH": does not exist");
	test_assert_ucmp(change.count, ==, 0);
	keyring_store_deinit(&store);
	test_assert(test_store_text(store = keyring_store_file_init(PATH),
				    &ret, &error) == NULL);
	test_assert(ret == 0);
	keyring_store_deinit(&store);
	test_end();
}

/* The keyring that is handed out is the one that is stored. */
static int
result_change(const struct keyring *keyring, struct keyring **new_keyring_r,
	      void *context, const char **error_r ATTR_UNUSED)
{
	const char *const *text = context;

	test_assert_strcmp(test_keyring_text(keyring), first_text);
	if (*text == NULL)
		return 0;
	*new_keyring_r = test_keyring_parse(*text);
	return 1;
}

static void test_update_result(void)
{
	struct keyring *second = test_keyring_new(SECRET_2), *keyring;
	const char *text;
	struct keyring_update update = {
		.change = result_change,
		.context = &text,
	};
	struct keyring_store *store = store_new();
	const char *error;

	test_begin("store update result");
	text = NULL;
	test_assert(keyring_store_update(store, &update, &keyring,
					 &error) == 0);
	test_assert_strcmp(test_keyring_text(keyring), first_text);
	keyring_free(&keyring);
	text = test_keyring_text(second);
	test_assert(keyring_store_update(store, &update, &keyring,
					 &error) == 1);
	test_assert_strcmp(test_keyring_text(keyring), text);
	test_assert_strcmp(test_file_read(PATH), text);
	keyring_free(&keyring);
	keyring_free(&second);
	keyring_store_deinit(&store);
	test_end();
}

static void test_update_link(void)
{
	struct test_change change = change_new(test_change_add);
	struct keyring_store *store;
	const char *error;
	struct stat st;
	int ret;

	test_begin("store update through a link");
	test_dir_make(DIR);
	if (mkdir(DIR"/elsewhere", 0700) < 0 ||
	    symlink("elsewhere/real", PATH) < 0)
		i_fatal("mkdir() or symlink() failed: %m");
	test_file_make(DIR"/elsewhere/real", first_text);
	store = keyring_store_file_init(PATH);
	test_assert(test_store_change(store, &change, &error) == 1);
	test_assert(lstat(PATH, &st) == 0 && S_ISLNK(st.st_mode));
	test_assert_strcmp(test_dir_list(DIR), "elsewhere keyring");
	test_assert_strcmp(test_dir_list(DIR"/elsewhere"), "real");
	test_assert(strcmp(test_store_text(store, &ret, &error),
			   first_text) != 0);
	test_end();

	test_begin("store destroy through a link");
	test_assert(keyring_store_destroy(store, &error) == 1);
	test_assert_strcmp(test_dir_list(DIR), "elsewhere");
	test_assert_strcmp(test_dir_list(DIR"/elsewhere"), "");
	test_end();

	test_begin("store update through a link that leads nowhere");
	if (symlink("elsewhere/real", PATH) < 0)
		i_fatal("symlink() failed: %m");
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "keyring file "PATH": is a symbolic link to "
			   "elsewhere/real, which does not exist");
	test_assert(keyring_store_destroy(store, &error) == -1);
	test_assert_strcmp(error, "keyring file "PATH": is a symbolic link to "
			   "elsewhere/real, which does not exist");
	keyring_store_deinit(&store);
	age_identities_deinit(&change.identities);
	test_end();
}

enum place { NONE, WHOLE, SECOND, BROKEN, EMPTY, LATER, FOLDER };

static void place_make(const char *path, enum place place, const char *second)
{
	switch (place) {
	case NONE:
		break;
	case WHOLE:
		test_file_make(path, first_text);
		break;
	case SECOND:
		test_file_make(path, second);
		break;
	case BROKEN:
		test_file_make(path, t_strndup(first_text, 500));
		break;
	case EMPTY:
		test_file_make(path, "");
		break;
	case LATER:
		test_file_make(path, "mail-seal keyring 2\n");
		break;
	case FOLDER:
		if (mkdir(path, 0700) < 0)
			i_fatal("mkdir(%s) failed: %m", path);
		break;
	}
}

/* What a killed change, or worse, has left. */
static void test_previous(void)
{
#define NOTICE "; took the previous keyring, which a change that was cut " \
	"short has left beside it"
	static const struct {
		const char *name;
		enum place current, previous;
		/* What is loaded. */
		int ret;
		enum place loaded;
		const char *message;
		/* What is there after settling, and after a change. */
		const char *settled, *changed;
	} tests[] = {
		{ "both whole", WHOLE, SECOND, 1, WHOLE, NULL,
		  "keyring", "keyring" },
		{ "only the current one", WHOLE, NONE, 1, WHOLE, NULL,
		  "keyring", "keyring" },
		{ "broken previous one", WHOLE, BROKEN, 1, WHOLE, NULL,
		  "keyring", "keyring" },
		{ "only the previous one", NONE, WHOLE, 1, WHOLE,
		  "is missing"NOTICE, "keyring", "keyring" },
		{ "broken current one", BROKEN, WHOLE, 1, WHOLE,
		  "cut short"NOTICE, "keyring keyring.damaged",
		  "keyring keyring.damaged" },
		{ "empty current one", EMPTY, WHOLE, 1, WHOLE,
		  "the keyring is empty, expected \"mail-seal keyring 1\""
		  NOTICE, "keyring keyring.damaged",
		  "keyring keyring.damaged" },
		{ "both broken", BROKEN, EMPTY, -1, NONE,
		  "the previous keyring beside it is of no use either: line 1: "
		  "the keyring is empty", "keyring keyring.bak",
		  "keyring keyring.bak" },
		{ "only a broken previous one", NONE, BROKEN, -1, NONE,
		  "is missing; the previous keyring beside it is of no use "
		  "either: ", "keyring.bak", "keyring.bak" },
		/* It is whole for the version that wrote it. */
		{ "current one of a later version", LATER, WHOLE, -1, NONE,
		  "format of version 2", "keyring keyring.bak",
		  "keyring keyring.bak" },
		{ "unreadable current one", FOLDER, WHOLE, -1, NONE,
		  "is a directory, expected a file", "keyring keyring.bak",
		  "keyring keyring.bak" },
		{ "nothing", NONE, NONE, 0, NONE, NULL, "", "" },
	};
	struct keyring *other = test_keyring_new(SECRET_1);
	const char *second = test_keyring_text(other);

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct test_change change = change_new(test_change_add);
		struct keyring_store *store;
		struct keyring *keyring;
		const char *error = "", *message;
		int ret;

		test_begin(t_strdup_printf("store previous: %s",
					   tests[i].name));
		test_dir_make(DIR);
		place_make(PATH, tests[i].current, second);
		place_make(PATH".bak", tests[i].previous, second);
		store = keyring_store_file_init(PATH);
		ret = keyring_store_load(store, &keyring, &error);
		test_assert_cmp(ret, ==, tests[i].ret);
		message = ret > 0 ? keyring_store_notice(store) : error;
		if (tests[i].message == NULL)
			test_assert(message == NULL || ret == 0);
		else if (message == NULL ||
			 strstr(message, tests[i].message) == NULL)
			test_assert_strcmp(message, tests[i].message);
		else
			test_assert(strncmp(message, "keyring file "PATH": ",
				strlen("keyring file "PATH": ")) == 0);
		if (ret > 0) {
			test_assert_strcmp(test_keyring_text(keyring),
				tests[i].loaded == WHOLE ? first_text : second);
			/* none is made while there is one */
			test_assert(keyring_store_create(store, other,
							 &error) == 0);
			test_assert(keyring_store_settle(store, keyring,
							 &error) == 0);
			keyring_free(&keyring);
			test_assert_strcmp(test_file_read(PATH), first_text);
		}
		test_assert_strcmp(test_dir_list(DIR), tests[i].settled);

		/* and without settling */
		test_dir_make(DIR);
		place_make(PATH, tests[i].current, second);
		place_make(PATH".bak", tests[i].previous, second);
		test_assert(test_store_change(store, &change, &error) ==
			    (tests[i].ret > 0 ? 1 : -1));
		test_assert_strcmp(test_dir_list(DIR), tests[i].changed);
		age_identities_deinit(&change.identities);
		keyring_store_deinit(&store);
		test_end();
	}
	keyring_free(&other);
}

/* A keyring that was changed since it was opened is not the one that was
   found to be right. */
static void test_settle_changed(void)
{
	struct keyring_store *store = store_new();
	struct keyring *other = test_keyring_new(SECRET_1);
	const char *error;

	test_begin("store settle with another keyring");
	test_file_make(PATH".bak", first_text);
	test_assert(keyring_store_settle(store, other, &error) == 0);
	test_assert_strcmp(test_dir_list(DIR), "keyring keyring.bak");
	test_assert(keyring_store_settle(store, first, &error) == 0);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	keyring_free(&other);
	keyring_store_deinit(&store);
	test_end();
}

/* Put the previous keyring back into its place, again and again, as settling
   does. */
static void child_put_back(void) ATTR_NORETURN;
static void child_put_back(void)
{
	for (unsigned int i = 0; i < PUT_BACK_COUNT; i += test_step()) {
		if (link(PATH, PATH".bak") < 0 || unlink(PATH) < 0)
			_exit(1);
		/* at another moment each time */
		for (volatile unsigned int wait = i % 500 * 20; wait > 0;
		     wait--) ;
		if (rename(PATH".bak", PATH) < 0)
			_exit(1);
		usleep(500);
	}
	_exit(0);
}

static void test_put_back(void)
{
	struct keyring_store *store = store_new();
	const char *error;
	int ret, status;
	pid_t pid;

	test_begin("store loads while the previous one is put back");
	if ((pid = fork()) < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0)
		child_put_back();
	while (waitpid(pid, &status, WNOHANG) == 0) T_BEGIN {
		(void)test_store_text(store, &ret, &error);
		test_assert(ret == 1);
	} T_END;
	test_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	keyring_store_deinit(&store);
	test_end();
}

/* Hold the lock in another process until it is killed. */
static pid_t lock_hold(void)
{
	char c;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0 || (pid = fork()) < 0)
		i_fatal("pipe() or fork() failed: %m");
	if (pid == 0) {
		int fd = open(PATH".lock", O_RDWR | O_CREAT, 0600);

		if (fd < 0 || flock(fd, LOCK_EX) < 0 ||
		    write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	if (read(fds[0], &c, 1) != 1)
		i_fatal("the lock could not be held");
	(void)close(fds[0]);
	(void)close(fds[1]);
	return pid;
}

static void lock_release(pid_t pid)
{
	if (kill(pid, SIGKILL) < 0 || waitpid(pid, NULL, 0) < 0)
		i_fatal("kill() or waitpid() failed: %m");
}

/* For how long. */
#define HELD_USECS (300 * 1000)

static void test_locked(void)
{
	struct test_change change = change_new(test_change_add);
	struct keyring_store *store = store_new();
	const char *error, *text;
	uint64_t started;
	pid_t holder, killer;
	int ret, status;

	test_begin("store locked");
	test_file_make(PATH".bak", first_text);
	holder = lock_hold();
	/* neither of these waits */
	text = test_store_text(store, &ret, &error);
	test_assert_strcmp(text, first_text);
	test_assert(keyring_store_settle(store, first, &error) == 0);
	test_assert_strcmp(test_dir_list(DIR),
			   "keyring keyring.bak keyring.lock");
	/* this does, until the holder dies */
	started = i_microseconds();
	if ((killer = fork()) < 0)
		i_fatal("fork() failed: %m");
	if (killer == 0) {
		usleep(HELD_USECS);
		_exit(kill(holder, SIGKILL) < 0 ? 1 : 0);
	}
	test_assert(test_store_change(store, &change, &error) == 1);
	test_assert(i_microseconds() - started >= HELD_USECS);
	test_assert(waitpid(killer, &status, 0) == killer && status == 0);
	lock_release(holder);
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	keyring_store_deinit(&store);
	age_identities_deinit(&change.identities);
	test_end();
}

/* Root does something for a user. */
static int child_owner_kept(struct keyring_store *store,
			    struct test_change *change)
{
	const char *error;
	struct stat st;

	if (chown(DIR, OTHER_ID, OTHER_ID) < 0 ||
	    chown(PATH, OTHER_ID, OTHER_ID) < 0 ||
	    test_store_change(store, change, &error) != 1 ||
	    stat(PATH, &st) < 0 || st.st_uid != OTHER_ID ||
	    st.st_gid != OTHER_ID || (st.st_mode & 07777) != 0600)
		return 1;
	/* The lock of a killed root doesn't lock its owner out. */
	lock_release(lock_hold());
	(void)chown(PATH".lock", OTHER_ID, OTHER_ID);
	if (setgid(OTHER_ID) < 0 || setuid(OTHER_ID) < 0)
		return 2;
	change->label = "mine";
	if (test_store_change(store, change, &error) != 1)
		return 3;
	return strcmp(test_dir_list(DIR), "keyring") == 0 ? 0 : 4;
}

/* A user can't make root's keyring one's own. */
static int child_owner_not_kept(struct keyring_store *store,
				struct test_change *change)
{
	const char *error;

	if (chown(DIR, OTHER_ID, OTHER_ID) < 0 || chmod(PATH, 0644) < 0 ||
	    setgid(OTHER_ID) < 0 || setuid(OTHER_ID) < 0)
		return 1;
	if (test_store_change(store, change, &error) != -1)
		return 2;
	if (strstr(error, "the previous one stays in its place: fchown(") ==
	    NULL || strstr(error, "so that the owner can't be kept") == NULL) {
		i_error("%s", error);
		return 3;
	}
	if (strcmp(test_file_read(PATH), first_text) != 0)
		return 4;
	return strcmp(test_dir_list(DIR), "keyring") == 0 ? 0 : 5;
}

/* Nor another file of root's, by a link in the place of the lock. */
static int child_owner_of_linked(struct keyring_store *store,
				 struct test_change *change)
{
	static const char *const texts[] = { "text", "" };
	const char *error;
	struct stat st;

	if (chown(DIR, OTHER_ID, OTHER_ID) < 0 ||
	    chown(PATH, OTHER_ID, OTHER_ID) < 0)
		return 1;
	for (unsigned int i = 0; i < N_ELEMENTS(texts); i++) {
		(void)unlink(DIR"/roots");
		test_file_make(DIR"/roots", texts[i]);
		if (link(DIR"/roots", PATH".lock") < 0)
			return 2;
		change->label = dec2str(i);
		if (test_store_change(store, change, &error) != 1)
			return 3;
		if (stat(DIR"/roots", &st) < 0 || st.st_uid != 0 ||
		    strcmp(test_file_read(DIR"/roots"), texts[i]) != 0)
			return 4;
	}
	return 0;
}

static void test_owner(void)
{
	static int (*const funcs[])(struct keyring_store *,
				    struct test_change *) = {
		child_owner_kept, child_owner_not_kept, child_owner_of_linked
	};
	struct test_change change = change_new(test_change_add);
	struct keyring_store *store;

	test_begin("store owner");
	for (unsigned int i = 0; i < N_ELEMENTS(funcs); i++) {
		int status, ret;
		pid_t pid;

		if (geteuid() != 0) {
			i_info("not tested, as that takes root");
			break;
		}
		store = store_new();
		if ((pid = fork()) < 0)
			i_fatal("fork() failed: %m");
		if (pid == 0) {
			ret = funcs[i](store, &change);
			keyring_store_deinit(&store);
			age_identities_deinit(&change.identities);
			_exit(ret);
		}
		keyring_store_deinit(&store);
		if (waitpid(pid, &status, 0) < 0)
			i_fatal("waitpid() failed: %m");
		test_assert_idx(WIFEXITED(status), i);
		test_assert_cmp(WEXITSTATUS(status), ==, 0);
	}
	test_end();
}

static bool all_zero(int fd)
{
	char data[65536];
	ssize_t size = pread(fd, data, sizeof(data), 0);

	for (ssize_t i = 0; i < size; i++) {
		if (data[i] != '\0')
			return FALSE;
	}
	return size > 0;
}

static void test_destroy(void)
{
	static const char *const paths[] = {
		PATH, PATH".bak", PATH".damaged", PATH".tmp.0123456789abcdef"
	};
	struct keyring_store *store = store_new();
	int fds[N_ELEMENTS(paths)], ret;
	const char *error;

	test_begin("store destroy");
	for (unsigned int i = 0; i < N_ELEMENTS(paths); i++) {
		if (i > 0)
			test_file_make(paths[i], first_text);
		fds[i] = open(paths[i], O_RDONLY);
	}
	test_file_make(DIR"/keyring2", first_text);
	test_assert(keyring_store_destroy(store, &error) == 1);
	test_assert_strcmp(test_dir_list(DIR), "keyring2");
	test_assert_strcmp(test_file_read(DIR"/keyring2"), first_text);
	for (unsigned int i = 0; i < N_ELEMENTS(paths); i++) {
		test_assert_idx(all_zero(fds[i]), i);
		(void)close(fds[i]);
	}
	test_assert(test_store_text(store, &ret, &error) == NULL && ret == 0);
	test_assert(keyring_store_destroy(store, &error) == 0);
	test_assert(keyring_store_create(store, first, &error) == 1);
	test_end();

	test_begin("store destroy a broken one");
	test_dir_make(DIR);
	test_file_make(PATH, "garbage");
	test_assert(keyring_store_destroy(store, &error) == 1);
	test_assert_strcmp(test_dir_list(DIR), "");
	test_file_make(PATH".bak", "garbage");
	test_assert(keyring_store_destroy(store, &error) == 1);
	test_assert_strcmp(test_dir_list(DIR), "");
	test_dir_remove(DIR);
	test_assert(keyring_store_destroy(store, &error) == 0);
	test_end();

	test_begin("store destroy what is no file");
	test_dir_make(DIR);
	if (mkdir(PATH, 0700) < 0)
		i_fatal("mkdir() failed: %m");
	test_assert(keyring_store_destroy(store, &error) == -1);
	test_assert(strstr(error, "failed: Is a directory") != NULL);
	keyring_store_deinit(&store);
	test_end();
}

static void fixture_init(void)
{
	first = test_keyring_new(SECRET_1);
	first_text = i_strdup(test_keyring_text(first));
}

static void fixture_deinit(void)
{
	test_dir_remove(DIR);
	keyring_free(&first);
	i_free(first_text);
}

int main(void)
{
	static void (*const tests[])(void) = {
		fixture_init,
		test_update,
		test_update_result,
		test_update_link,
		test_previous,
		test_settle_changed,
		test_put_back,
		test_locked,
		test_owner,
		test_destroy,
		fixture_deinit,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
