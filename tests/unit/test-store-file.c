/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* for unshare() */
#define _GNU_SOURCE
#include "lib.h"
#include "str.h"
#include "unlink-directory.h"
#include "write-full.h"
#include "test-common.h"
#include "crypto/secret.h"
#include "age/argon2id.h"
#include "keyring/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Keyrings in files, on a real file system: in a folder below the current one,
   which is made new for each test. */

#define TEST_DIR ".test-store-file.dir"
#define TEST_PATH TEST_DIR"/keyring"
#define SECRET \
	"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"
/* Where root goes for what root is never refused. */
#define UNPRIVILEGED_ID 65534

static const struct keyring_costs costs = {
	.memory_kib = AGE_ARGON2ID_MIN_MEMORY_KIB,
	.passes = AGE_ARGON2ID_MIN_PASSES
};

static struct keyring *new_keyring(void)
{
	struct keyring *keyring;
	struct age_identities *identities;
	const char *error;

	if (keyring_create(SECRET, &costs, &keyring, &identities, &error) < 0)
		i_fatal("%s", error);
	age_identities_deinit(&identities);
	return keyring;
}

static const char *keyring_text(const struct keyring *keyring)
{
	string_t *text = t_str_new(2048);

	keyring_write(keyring, text);
	return str_c(text);
}

static void dir_remove(void)
{
	const char *error;

	if (unlink_directory(TEST_DIR, UNLINK_DIRECTORY_FLAG_RMDIR,
			     &error) < 0)
		i_fatal("%s", error);
}

static void dir_make(void)
{
	dir_remove();
	if (mkdir(TEST_DIR, 0755) < 0)
		i_fatal("mkdir("TEST_DIR") failed: %m");
}

static unsigned int dir_count(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	unsigned int count = 0;

	if (dir == NULL)
		i_fatal("opendir(%s) failed: %m", path);
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] != '.')
			count++;
	}
	(void)closedir(dir);
	return count;
}

static void file_make(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0 || write_full(fd, text, strlen(text)) < 0 || close(fd) < 0)
		i_fatal("Creating %s failed: %m", path);
}

/* The text of what is at the path, NULL if there is none. */
static const char *load(const char *path, int *ret_r, const char **error_r)
{
	struct keyring_store *store = keyring_store_file_init(path);
	struct keyring *keyring = NULL;
	const char *text = NULL;

	*error_r = "";
	*ret_r = keyring_store_load(store, &keyring, error_r);
	if (*ret_r > 0) {
		text = keyring_text(keyring);
		keyring_free(&keyring);
	}
	test_assert(keyring == NULL);
	keyring_store_deinit(&store);
	return text;
}

static int create(const char *path, const struct keyring *keyring,
		  const char **error_r)
{
	struct keyring_store *store = keyring_store_file_init(path);
	int ret;

	*error_r = "";
	ret = keyring_store_create(store, keyring, error_r);
	keyring_store_deinit(&store);
	test_assert(store == NULL);
	return ret;
}

static void test_store_name(void)
{
	struct keyring_store *store;

	test_begin("store name");
	store = keyring_store_file_init("/home/u/mail-seal.keyring");
	test_assert_strcmp(keyring_store_name(store),
			   "keyring file /home/u/mail-seal.keyring");
	keyring_store_deinit(&store);
	test_end();
}

static bool
stamp_is(struct keyring_store *store, const struct keyring_stamp *stamp)
{
	struct keyring_stamp now;
	const char *error;

	test_assert(keyring_store_stamp(store, &now, &error) >= 0);
	return memcmp(&now, stamp, sizeof(now)) == 0;
}

static void test_store_stamp(void)
{
	struct keyring *first = new_keyring(), *second = new_keyring();
	struct keyring_stamp none = { { 0 } }, stamp;
	struct keyring_store *store;
	struct keyring *keyring;
	const char *error;

	test_begin("store stamp");
	dir_make();
	store = keyring_store_file_init(TEST_PATH);
	test_assert(keyring_store_stamp(store, &stamp, &error) == 0);
	test_assert(memcmp(&stamp, &none, sizeof(stamp)) == 0);
	test_assert(create(TEST_PATH, first, &error) == 1);
	test_assert(!stamp_is(store, &none));
	test_assert(keyring_store_load(store, &keyring, &error) == 1);
	keyring_free(&keyring);
	stamp = *keyring_store_loaded_stamp(store);
	test_assert(stamp_is(store, &stamp));
	/* The same text in another file, and another one. */
	test_assert(unlink(TEST_PATH) == 0);
	test_assert(stamp_is(store, &none));
	file_make(TEST_PATH, keyring_text(first), 0600);
	test_assert(!stamp_is(store, &stamp));
	test_assert(keyring_store_stamp(store, &stamp, &error) == 1);
	test_assert(unlink(TEST_PATH) == 0);
	file_make(TEST_PATH, keyring_text(second), 0600);
	test_assert(!stamp_is(store, &stamp));
	/* What leads nowhere is not "none". */
	test_assert(unlink(TEST_PATH) == 0);
	test_assert(symlink("nowhere", TEST_PATH) == 0);
	test_assert(keyring_store_stamp(store, &stamp, &error) == -1);
	test_assert(strstr(error, "keyring file "TEST_PATH": ") == error);
	keyring_store_deinit(&store);
	keyring_free(&first);
	keyring_free(&second);
	test_end();
}

static void test_store_create(void)
{
	struct keyring *first = new_keyring(), *second = new_keyring();
	const char *error, *text;
	struct stat st;
	int ret;

	test_begin("store create");
	dir_make();
	test_assert(load(TEST_PATH, &ret, &error) == NULL);
	test_assert_cmp(ret, ==, 0);
	test_assert(create(TEST_PATH, first, &error) == 1);
	test_assert(stat(TEST_PATH, &st) == 0);
	test_assert((st.st_mode & 07777) == 0600);
	test_assert_ucmp(st.st_nlink, ==, 1);
	test_assert_ucmp(dir_count(TEST_DIR), ==, 1);
	text = load(TEST_PATH, &ret, &error);
	test_assert_cmp(ret, ==, 1);
	test_assert_strcmp(text, keyring_text(first));
	test_end();

	test_begin("store create over another");
	test_assert(create(TEST_PATH, second, &error) == 0);
	text = load(TEST_PATH, &ret, &error);
	test_assert_cmp(ret, ==, 1);
	test_assert_strcmp(text, keyring_text(first));
	test_assert_ucmp(dir_count(TEST_DIR), ==, 1);
	keyring_free(&first);
	keyring_free(&second);
	test_end();
}

/* Whatever is there already stays. */
static void test_store_create_over(void)
{
	static const struct {
		const char *name, *text, *link;
	} tests[] = {
		{ "an empty file", "", NULL },
		{ "garbage", "garbage", NULL },
		{ "a later version", "mail-seal keyring 2\n", NULL },
		{ "a link that leads nowhere", NULL, "nowhere" },
		{ "a link to a folder", NULL, "." },
	};
	struct keyring *keyring = new_keyring();

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		struct stat st;
		const char *error;
		int ret;

		test_begin(t_strdup_printf("store create over %s",
					   tests[i].name));
		dir_make();
		if (tests[i].link == NULL)
			file_make(TEST_PATH, tests[i].text, 0644);
		else if (symlink(tests[i].link, TEST_PATH) < 0)
			i_fatal("symlink() failed: %m");
		test_assert(create(TEST_PATH, keyring, &error) == 0);
		test_assert_ucmp(dir_count(TEST_DIR), ==, 1);
		test_assert(lstat(TEST_PATH, &st) == 0);
		if (tests[i].link == NULL)
			test_assert_ucmp(st.st_size, ==, strlen(tests[i].text));
		else
			test_assert(S_ISLNK(st.st_mode));
		test_assert(load(TEST_PATH, &ret, &error) == NULL);
		test_assert_cmp(ret, ==, -1);
		test_end();
	}
	keyring_free(&keyring);
}

static void test_store_create_dirs(void)
{
	static const char *const paths[] = {
		TEST_DIR"/a/b/c/keyring",
		TEST_DIR"/a/b2//c/keyring",
		TEST_DIR"/a/../d/./e/keyring",
	};
	struct keyring *keyring = new_keyring();
	const char *error, *text;
	struct stat st;
	int ret;

	test_begin("store create with folders");
	dir_make();
	for (unsigned int i = 0; i < N_ELEMENTS(paths); i++) {
		/* no folder is no error yet */
		text = load(paths[i], &ret, &error);
		test_assert_idx(ret == 0, i);
		test_assert_idx(create(paths[i], keyring, &error) == 1, i);
		test_assert_strcmp_idx(error, "", i);
		text = load(paths[i], &ret, &error);
		test_assert_strcmp_idx(text, keyring_text(keyring), i);
	}
	test_assert(stat(TEST_DIR"/a", &st) == 0);
	test_assert((st.st_mode & 07777) == 0700);
	test_assert(stat(TEST_DIR"/a/b", &st) == 0);
	test_assert((st.st_mode & 07777) == 0700);
	test_assert(stat(TEST_DIR"/a/b/c", &st) == 0);
	test_assert((st.st_mode & 07777) == 0700);
	test_assert(stat(TEST_DIR, &st) == 0);
	test_assert((st.st_mode & 07777) == 0755);
	keyring_free(&keyring);
	test_end();
}

static void test_store_path_without_dir(void)
{
	struct keyring *keyring = new_keyring();
	const char *error;
	int ret;

	test_begin("store path without a folder");
	dir_make();
	if (chdir(TEST_DIR) < 0)
		i_fatal("chdir("TEST_DIR") failed: %m");
	test_assert(create("keyring", keyring, &error) == 1);
	test_assert_ucmp(dir_count("."), ==, 1);
	test_assert_strcmp(load("keyring", &ret, &error),
			   keyring_text(keyring));
	if (chdir("..") < 0)
		i_fatal("chdir(..) failed: %m");
	keyring_free(&keyring);
	test_end();
}

enum test_place {
	PLACE_FILE,
	PLACE_FILE_READABLE_TO_ALL,
	PLACE_LINK,
	PLACE_LINK_NOWHERE,
	PLACE_LINK_LOOP,
	PLACE_DIR,
	PLACE_FIFO,
	PLACE_EMPTY,
	PLACE_CUT,
	PLACE_TOO_LARGE,
	PLACE_BELOW_FILE,
	PLACE_LONG_NAME,
};

static void place_make(enum test_place place, const struct keyring *keyring)
{
	const char *text = keyring_text(keyring);

	switch (place) {
	case PLACE_FILE:
		file_make(TEST_PATH, text, 0600);
		break;
	case PLACE_FILE_READABLE_TO_ALL:
		file_make(TEST_PATH, text, 0644);
		break;
	case PLACE_LINK:
		file_make(TEST_DIR"/elsewhere", text, 0600);
		i_assert(symlink("elsewhere", TEST_PATH) == 0);
		break;
	case PLACE_LINK_NOWHERE:
		i_assert(symlink("nowhere", TEST_PATH) == 0);
		break;
	case PLACE_LINK_LOOP:
		i_assert(symlink("keyring", TEST_PATH) == 0);
		break;
	case PLACE_DIR:
		i_assert(mkdir(TEST_PATH, 0700) == 0);
		break;
	case PLACE_FIFO:
		i_assert(mkfifo(TEST_PATH, 0600) == 0);
		break;
	case PLACE_EMPTY:
		file_make(TEST_PATH, "", 0600);
		break;
	case PLACE_CUT:
		file_make(TEST_PATH, t_strndup(text, strlen(text) - 1), 0600);
		break;
	case PLACE_TOO_LARGE:
		file_make(TEST_PATH, text, 0600);
		i_assert(truncate(TEST_PATH, KEYRING_MAX_SIZE + 1) == 0);
		break;
	case PLACE_BELOW_FILE:
		file_make(TEST_DIR"/file", text, 0600);
		break;
	case PLACE_LONG_NAME:
		break;
	}
}

static void test_store_load(void)
{
	static const struct {
		enum test_place place;
		const char *name;
		int ret;
		const char *error, *path;
	} tests[] = {
		{ PLACE_FILE, "a file", 1, "", TEST_PATH },
		{ PLACE_FILE_READABLE_TO_ALL, "a file readable to all", 1, "",
		  TEST_PATH },
		{ PLACE_LINK, "a link", 1, "", TEST_PATH },
		{ PLACE_FILE, "another name", 0, "", TEST_PATH"2" },
		{ PLACE_FILE, "another folder", 0, "", TEST_PATH".d/keyring" },
		{ PLACE_LINK_NOWHERE, "a link that leads nowhere", -1,
		  "is a symbolic link to nowhere, which does not exist",
		  TEST_PATH },
		{ PLACE_LINK_LOOP, "a link to itself", -1,
		  "open("TEST_PATH") failed: ", TEST_PATH },
		{ PLACE_DIR, "a folder", -1, "is a directory", TEST_PATH },
		{ PLACE_FIFO, "a FIFO", -1, "is not a regular file",
		  TEST_PATH },
		{ PLACE_EMPTY, "an empty file", -1,
		  "line 1: the keyring is empty", TEST_PATH },
		{ PLACE_CUT, "a cut file", -1, "ends without a line end",
		  TEST_PATH },
		{ PLACE_TOO_LARGE, "a large file", -1,
		  "has 1048577 bytes, at most 1048576 are read", TEST_PATH },
		{ PLACE_BELOW_FILE, "a file instead of a folder", -1,
		  "failed: Not a directory", TEST_DIR"/file/keyring" },
		{ PLACE_LONG_NAME, "a name that is too long", -1,
		  "failed: File name too long", TEST_DIR"/"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "0123456789012345678901234567890123456789012345678901234567" },
		{ PLACE_FILE, "the null device", -1, "is not a regular file",
		  "/dev/null" },
	};
	struct keyring *keyring = new_keyring();

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		const char *error, *text;
		int ret;

		test_begin(t_strdup_printf("store load: %s", tests[i].name));
		dir_make();
		place_make(tests[i].place, keyring);
		/* a load that blocks ends here */
		(void)alarm(60);
		text = load(tests[i].path, &ret, &error);
		(void)alarm(0);
		test_assert_cmp(ret, ==, tests[i].ret);
		test_assert_strcmp(text, ret <= 0 ? NULL :
				   keyring_text(keyring));
		if (strstr(error, tests[i].error) == NULL)
			test_assert_strcmp(error, tests[i].error);
		if (ret < 0) {
			const char *prefix = t_strconcat("keyring file ",
				tests[i].path, ": ", NULL);

			test_assert(strncmp(error, prefix,
					    strlen(prefix)) == 0);
		}
		test_end();
	}
	keyring_free(&keyring);
}

/* Run in a process of its own. Returns its exit status, or -1 if it was killed
   by a signal. */
static int
run_child(int (*func)(const struct keyring *keyring),
	  const struct keyring *keyring)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0) {
		(void)alarm(60);
		_exit(func(keyring));
	}
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Exit statuses of children. */
enum { CHILD_OK, CHILD_NOT_TESTED, CHILD_WRONG_RESULT, CHILD_WRONG_ERROR,
       CHILD_TEMP_LEFT };

/* Create must fail with this error and leave nothing. */
static int
create_must_fail(const struct keyring *keyring, const char *path,
		 const char *dir, const char *expected)
{
	unsigned int count = dir == NULL ? 0 : dir_count(dir);
	const char *error;

	if (create(path, keyring, &error) != -1)
		return CHILD_WRONG_RESULT;
	if (strstr(error, expected) == NULL) {
		i_error("%s, expected %s", error, expected);
		return CHILD_WRONG_ERROR;
	}
	if (dir != NULL && dir_count(dir) != count)
		return CHILD_TEMP_LEFT;
	return CHILD_OK;
}

static int child_file_size_limit(const struct keyring *keyring)
{
	const struct rlimit limit = { 100, 100 };

	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return CHILD_NOT_TESTED;
	return create_must_fail(keyring, TEST_PATH, TEST_DIR,
				"failed: File too large");
}

/* A small file system of its own in the test folder. */
static bool mount_tmpfs(const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
		mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("none", TEST_DIR, "tmpfs", 0, options) == 0;
}

static int child_disk_full(const struct keyring *keyring)
{
	static const char zeros[65536];
	int fd;

	if (!mount_tmpfs("size=65536"))
		return CHILD_NOT_TESTED;
	fd = open(TEST_DIR"/fill", O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || write_full(fd, zeros, sizeof(zeros)) < 0)
		return CHILD_NOT_TESTED;
	return create_must_fail(keyring, TEST_PATH, TEST_DIR,
				"failed: No space left on device");
}

/* The root and the temporary file. */
static int child_no_inode(const struct keyring *keyring)
{
	if (!mount_tmpfs("nr_inodes=2"))
		return CHILD_NOT_TESTED;
	file_make(TEST_DIR"/fill", "", 0600);
	return create_must_fail(keyring, TEST_PATH, TEST_DIR,
				"failed: No space left on device");
}

static int child_read_only_disk(const struct keyring *keyring)
{
	if (!mount_tmpfs("size=65536") ||
	    mount("none", TEST_DIR, "", MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return CHILD_NOT_TESTED;
	return create_must_fail(keyring, TEST_PATH, TEST_DIR,
				"failed: Read-only file system");
}

static bool become_unprivileged(void)
{
	return geteuid() != 0 || (setgid(UNPRIVILEGED_ID) == 0 &&
				  setuid(UNPRIVILEGED_ID) == 0);
}

static int child_read_only_dir(const struct keyring *keyring)
{
	if (chmod(TEST_DIR, 0555) < 0 || !become_unprivileged())
		return CHILD_NOT_TESTED;
	return create_must_fail(keyring, TEST_PATH, TEST_DIR,
				"failed: Permission denied");
}

static int child_read_only_parent(const struct keyring *keyring)
{
	if (chmod(TEST_DIR, 0555) < 0 || !become_unprivileged())
		return CHILD_NOT_TESTED;
	return create_must_fail(keyring, TEST_DIR"/a/keyring", TEST_DIR,
				"failed: Permission denied");
}

static int child_below_file(const struct keyring *keyring)
{
	file_make(TEST_DIR"/file", "", 0600);
	return create_must_fail(keyring, TEST_DIR"/file/keyring", TEST_DIR,
				"failed: Not a directory");
}

static int child_unreadable(const struct keyring *keyring)
{
	const char *error;
	int ret;

	file_make(TEST_PATH, keyring_text(keyring), 0);
	if (!become_unprivileged())
		return CHILD_NOT_TESTED;
	(void)load(TEST_PATH, &ret, &error);
	if (ret != -1)
		return CHILD_WRONG_RESULT;
	return strstr(error, "failed: Permission denied") != NULL ?
		CHILD_OK : CHILD_WRONG_ERROR;
}

static void test_store_faults(void)
{
	static const struct {
		const char *name;
		int (*func)(const struct keyring *keyring);
	} tests[] = {
		{ "file size limit", child_file_size_limit },
		{ "disk full", child_disk_full },
		{ "no inode left", child_no_inode },
		{ "read-only disk", child_read_only_disk },
		{ "read-only folder", child_read_only_dir },
		{ "read-only parent of a missing folder",
		  child_read_only_parent },
		{ "file instead of a folder", child_below_file },
		{ "unreadable file", child_unreadable },
	};
	struct keyring *keyring = new_keyring();

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		const char *name = tests[i].name;
		int status;

		dir_make();
		status = run_child(tests[i].func, keyring);
		if (status == CHILD_NOT_TESTED)
			name = t_strconcat(name, " (skipped)", NULL);
		test_begin(t_strconcat("store fault: ", name, NULL));
		if (status != CHILD_NOT_TESTED)
			test_assert_cmp(status, ==, CHILD_OK);
		/* and the folder is as usable as before */
		test_assert(chmod(TEST_DIR, 0755) == 0);
		test_end();
	}
	keyring_free(&keyring);
}

/* Wait for the other end to be closed, that all begin at the same time. */
static void wait_for_start(const int pipe_fds[2])
{
	char c;

	(void)close(pipe_fds[1]);
	while (read(pipe_fds[0], &c, 1) > 0) ;
}

#define CREATORS 8

static void test_store_create_concurrent(void)
{
	struct keyring *keyrings[CREATORS];
	pid_t pids[CREATORS];
	int winner = -1;

	test_begin("store create by many at once");
	for (unsigned int i = 0; i < CREATORS; i++)
		keyrings[i] = new_keyring();
	for (unsigned int round = 0; round < 20; round++) T_BEGIN {
		const char *error, *text;
		int pipe_fds[2], status, ret;
		unsigned int created = 0;

		dir_make();
		if (pipe(pipe_fds) < 0)
			i_fatal("pipe() failed: %m");
		for (unsigned int i = 0; i < CREATORS; i++) {
			if ((pids[i] = fork()) < 0)
				i_fatal("fork() failed: %m");
			if (pids[i] == 0) {
				wait_for_start(pipe_fds);
				ret = create(TEST_DIR"/a/b/keyring",
					     keyrings[i], &error);
				_exit(ret < 0 ? 2 : ret);
			}
		}
		(void)close(pipe_fds[0]);
		(void)close(pipe_fds[1]);
		for (unsigned int i = 0; i < CREATORS; i++) {
			if (waitpid(pids[i], &status, 0) < 0)
				i_fatal("waitpid() failed: %m");
			test_assert_idx(WIFEXITED(status) &&
					WEXITSTATUS(status) <= 1, i);
			if (WIFEXITED(status) && WEXITSTATUS(status) == 1) {
				winner = i;
				created++;
			}
		}
		test_assert_ucmp(created, ==, 1);
		test_assert_ucmp(dir_count(TEST_DIR"/a/b"), ==, 1);
		text = load(TEST_DIR"/a/b/keyring", &ret, &error);
		test_assert_strcmp(text, keyring_text(keyrings[winner]));
	} T_END;
	for (unsigned int i = 0; i < CREATORS; i++)
		keyring_free(&keyrings[i]);
	test_end();
}

static int child_create(const struct keyring *keyring)
{
	const char *error;

	return create(TEST_PATH, keyring, &error) == 1 ? CHILD_OK :
		CHILD_WRONG_RESULT;
}

static uintmax_t now_usecs(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		i_fatal("clock_gettime() failed: %m");
	return (uintmax_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Start a process that creates, and kill it after this time. Returns TRUE if it
   was killed before it was done. */
static bool
create_and_kill(const struct keyring *keyring, unsigned int usecs)
{
	int status, pipe_fds[2];
	pid_t pid;

	if (pipe(pipe_fds) < 0 || (pid = fork()) < 0)
		i_fatal("pipe() or fork() failed: %m");
	if (pid == 0) {
		wait_for_start(pipe_fds);
		_exit(child_create(keyring));
	}
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	if (usecs > 0)
		usleep(usecs);
	(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	test_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void test_store_create_killed(void)
{
	struct keyring *keyring = new_keyring();
	const char *expected = keyring_text(keyring);
	unsigned int killed = 0;
	uintmax_t start, duration;
	const char *error;

	test_begin("store create killed");
	dir_make();
	start = now_usecs();
	test_assert(run_child(child_create, keyring) == 0);
	duration = now_usecs() - start;
	for (unsigned int i = 0; i < 100; i++) T_BEGIN {
		const char *text;
		int ret;

		dir_make();
		if (create_and_kill(keyring, i * duration / 100))
			killed++;
		text = load(TEST_PATH, &ret, &error);
		test_assert_idx(ret >= 0, i);
		if (ret > 0)
			test_assert_strcmp_idx(text, expected, i);
		/* the next login is not hindered */
		test_assert_idx(create(TEST_PATH, keyring, &error) ==
				(ret > 0 ? 0 : 1), i);
	} T_END;
	test_assert_ucmp(killed, >, 0);
	keyring_free(&keyring);
	test_end();
}

static void
temp_make(const char *path, time_t age)
{
	const struct timeval times[2] = {
		{ .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age }
	};

	file_make(path, "x", 0600);
	if (utimes(path, times) < 0)
		i_fatal("utimes(%s) failed: %m", path);
}

static void test_store_temps(void)
{
	static const struct {
		const char *path;
		time_t age;
		bool kept;
	} tests[] = {
		{ TEST_PATH".tmp.0123456789abcdef", 2 * 60 * 60, FALSE },
		{ TEST_PATH".tmp.fedcba9876543210", 30 * 60, TRUE },
		{ TEST_PATH".old", 2 * 60 * 60, TRUE },
		{ TEST_PATH"2.tmp.0123456789abcdef", 2 * 60 * 60, TRUE },
		{ TEST_DIR"/a.tmp.0123456789abcdef", 2 * 60 * 60, TRUE },
	};
	struct keyring *keyring = new_keyring();
	const char *error;

	test_begin("store temporary files");
	dir_make();
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++)
		temp_make(tests[i].path, tests[i].age);
	test_assert(create(TEST_PATH, keyring, &error) == 1);
	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		test_assert_idx((access(tests[i].path, F_OK) == 0) ==
				tests[i].kept, i);
	}
	keyring_free(&keyring);
	test_end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_store_name,
		test_store_stamp,
		test_store_create,
		test_store_create_over,
		test_store_create_dirs,
		test_store_path_without_dir,
		test_store_load,
		test_store_faults,
		test_store_create_concurrent,
		test_store_create_killed,
		test_store_temps,
		dir_remove,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
