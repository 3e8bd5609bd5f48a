/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* for unshare() */
#define _GNU_SOURCE
#include "lib.h"
#include "str.h"
#include "test-common.h"
#include "write-full.h"
#include "crypto/secret.h"
#include "store-util.h"
#include "under-valgrind.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Changes of keyrings in files that are killed, fail, or are made by many at the
   same time. System calls that change something are counted here, and the one
   that is asked for kills the process or fails. */

#define DIR ".test-store-kill.dir"
#define PATH DIR"/keyring"

static struct {
	bool active;
	/* Counts down; at 0 it happens. */
	unsigned int calls;
	/* Kill, before the call or after it; or fail with this error. */
	bool kill, after;
	int error;
	/* And all calls from then on. */
	bool forever;
} fault;

/* Returns TRUE if the call is to fail. */
static bool fault_before(void)
{
	if (!fault.active)
		return FALSE;
	if (fault.calls > 0 && --fault.calls > 0)
		return FALSE;
	if (fault.kill && !fault.after)
		(void)kill(getpid(), SIGKILL);
	if (fault.error == 0)
		return FALSE;
	if (!fault.forever)
		fault.active = FALSE;
	errno = fault.error;
	return TRUE;
}

static long fault_after(long ret)
{
	if (fault.active && fault.kill && fault.after && fault.calls == 0)
		(void)kill(getpid(), SIGKILL);
	return ret;
}

#define FAULTY(call) \
	(fault_before() ? -1 : fault_after(call))

ssize_t write(int fd, const void *data, size_t size)
{
	/* logging goes on */
	if (fd <= STDERR_FILENO)
		return syscall(SYS_write, fd, data, size);
	return FAULTY(syscall(SYS_write, fd, data, size));
}

int fsync(int fd)
{
	return FAULTY(syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
	return FAULTY(syscall(SYS_fdatasync, fd));
}

int rename(const char *from, const char *to)
{
	return FAULTY(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int link(const char *from, const char *to)
{
	return FAULTY(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path)
{
	return FAULTY(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

static struct keyring *first;
static char *first_text;
static struct age_identities *first_identities;

enum op_kind { OP_PASSWORD, OP_RECOVERY, OP_REMOVE, OP_ROTATE, OP_ENROL,
	       OP_DESTROY };

/* What is done to the first keyring, which has two passwords and a code. */
static const struct op {
	const char *name;
	enum op_kind kind;
	int (*func)(struct keyring_edit *edit, struct test_change *change,
		    const char **error_r);
	const char *label, *new_secret;
} ops[] = {
	{ "password", OP_PASSWORD, test_change_password, NULL, SECRET_2 },
	{ "recovery", OP_RECOVERY, test_change_add, "another code", NULL },
	{ "remove", OP_REMOVE, test_change_remove, "code", NULL },
	{ "rotate", OP_ROTATE, test_change_rotate, NULL, NULL },
	{ "enrol", OP_ENROL, NULL, NULL, NULL },
};

static void op_prepare(const struct op *op)
{
	test_dir_make(DIR);
	if (op->kind != OP_ENROL)
		test_file_make(PATH, first_text);
}

/* Returns as the function of the store. */
static int op_run(const struct op *op, struct keyring_store *store,
		  const char **error_r)
{
	struct test_change change = {
		.identities = age_identities_init(),
		.secret = SECRET_1,
		.func = op->func,
		.label = op->label,
		.new_secret = op->new_secret,
	};
	int ret;

	if (op->kind == OP_ENROL)
		ret = keyring_store_create(store, first, error_r);
	else {
		for (unsigned int i = 0;
		     i < age_identities_count(first_identities); i++) {
			age_identities_add(change.identities,
				age_identities_get(first_identities, i));
		}
		ret = test_store_change(store, &change, error_r);
	}
	age_identities_deinit(&change.identities);
	return ret;
}

static int op_child(const struct op *op)
{
	struct keyring_store *store = keyring_store_file_init(PATH);
	const char *error;
	int ret;

	fault.active = fault.calls > 0;
	ret = op_run(op, store, &error);
	fault.active = FALSE;
	keyring_store_deinit(&store);
	return ret < 0 ? 1 : 0;
}

/* TRUE if the secret opens the keyring, with the first identity among those
   that come out. */
static bool opens(const struct keyring *keyring, const char *secret)
{
	struct keyring_opened opened;
	const char *error, *str;
	bool found;

	if (keyring_open_password(keyring, secret, &opened, &error) <= 0)
		return FALSE;
	str = test_identities_str(opened.identities);
	found = strstr(str, test_identities_str(first_identities)) != NULL;
	age_identities_deinit(&opened.identities);
	return found;
}

/* The keyring is whole and opens with the old or the new secret; the next
   change isn't hindered and leaves nothing beside it. */
static void check_after(const struct op *op, unsigned int idx)
{
	struct keyring_store *store = keyring_store_file_init(PATH);
	struct test_change change = {
		.secret = SECRET_1, .func = test_change_add, .label = "after",
	};
	struct keyring *keyring;
	const char *error = "";
	int ret;

	ret = keyring_store_load(store, &keyring, &error);
	test_assert_idx(ret == 1 || (ret == 0 && op->kind == OP_ENROL), idx);
	if (ret == 0)
		test_assert_idx(keyring_store_create(store, first,
						     &error) == 1, idx);
	else if (ret < 0)
		i_error("%s %u: %s", op->name, idx, error);
	else {
		/* The file itself is always there, not only its backup. */
		test_assert_idx(keyring_store_notice(store) == NULL, idx);
		if (!opens(keyring, SECRET_1)) {
			test_assert_idx(op->kind == OP_PASSWORD, idx);
			test_assert_idx(opens(keyring, SECRET_2), idx);
			change.secret = SECRET_2;
		}
		test_assert_idx(keyring_store_settle(store, keyring,
						     &error) == 0, idx);
		test_assert_idx(access(PATH".bak", F_OK) < 0, idx);
		keyring_free(&keyring);
	}
	test_assert_idx(test_store_change(store, &change, &error) == 1, idx);
	test_assert_idx(access(PATH".bak", F_OK) < 0, idx);
	test_assert_idx(access(PATH".lock", F_OK) < 0, idx);
	age_identities_deinit(&change.identities);
	keyring_store_deinit(&store);
}

static int run(const struct op *op)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0) {
		(void)alarm(60);
		_exit(op_child(op));
	}
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	return status;
}

/* Kill at each system call. */
static void test_kill_at_each_call(void)
{
	const unsigned int step = test_step();
	unsigned int kills = 0;

	for (unsigned int i = 0; i < N_ELEMENTS(ops); i++) {
		unsigned int calls = i % step;
		int status;

		test_begin(t_strdup_printf("store kill at each call: %s",
					   ops[i].name));
		do T_BEGIN {
			calls += step;
			fault.calls = calls / 2 + 1;
			fault.after = calls % 2 != 0;
			fault.kill = TRUE;
			op_prepare(&ops[i]);
			status = run(&ops[i]);
			i_zero(&fault);
			check_after(&ops[i], calls);
			kills++;
		} T_END; while (WIFSIGNALED(status));
		test_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		/* write, fsync, link or rename, sync of the folder, unlink */
		test_assert_ucmp(calls, >=, 10);
		test_end();
	}
	i_info("%u kills at system calls", kills);
}

/* Let each call fail: the old keyring stays, or the new one is there and only
   something beside it is left. */
static void test_fail_at_each_call(void)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT };
	const unsigned int step = test_step();
	unsigned int fails = 0;

	for (unsigned int i = 0; i < N_ELEMENTS(ops); i++) {
		test_begin(t_strdup_printf("store fail at each call: %s",
					   ops[i].name));
		for (unsigned int j = 0; j < 2 * N_ELEMENTS(errors); j++) {
			struct keyring_store *store;
			unsigned int calls = j % step;
			const char *error, *text;
			bool fail_forever = j % 2 != 0, hit, uncertain;
			int ret, load_ret;

			do T_BEGIN {
				op_prepare(&ops[i]);
				store = keyring_store_file_init(PATH);
				i_zero(&fault);
				fault.calls = calls += step;
				fault.error = errors[j / 2];
				fault.forever = fail_forever;
				fault.active = TRUE;
				ret = op_run(&ops[i], store, &error);
				hit = fault.calls == 0;
				i_zero(&fault);
				uncertain = ret < 0 && fail_forever &&
					strstr(error, "it is not certain "
					       "whether") != NULL;
				if (ret < 0 && ops[i].kind != OP_ENROL &&
				    !uncertain) {
					text = test_store_text(store, &load_ret,
							       &error);
					test_assert_strcmp_idx(text, first_text,
							       calls);
				}
				keyring_store_deinit(&store);
				check_after(&ops[i], calls);
				if (hit)
					fails++;
			} T_END; while (hit);
			test_assert_cmp(ret, ==, 1);
		}
		test_end();
	}
	i_info("%u failing calls", fails);
}

static uintmax_t now_usecs(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		i_fatal("clock_gettime() failed: %m");
	return (uintmax_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Kill at any time. Returns TRUE if it was killed before it was done. */
static bool run_and_kill(const struct op *op, unsigned int usecs)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0)
		_exit(op_child(op));
	if (usecs > 0)
		usleep(usecs);
	(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	test_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void test_kill_at_any_time(void)
{
	const unsigned int count = test_under_valgrind() ? 6 : 70;
	unsigned int killed = 0;

	for (unsigned int i = 0; i < N_ELEMENTS(ops); i++) {
		uintmax_t start, duration;

		test_begin(t_strdup_printf("store kill at any time: %s",
					   ops[i].name));
		op_prepare(&ops[i]);
		start = now_usecs();
		test_assert(run(&ops[i]) == 0);
		duration = now_usecs() - start;
		for (unsigned int j = 0; j < count; j++) T_BEGIN {
			op_prepare(&ops[i]);
			if (run_and_kill(&ops[i], j * duration / count))
				killed++;
			check_after(&ops[i], j);
		} T_END;
		test_end();
	}
	i_info("%u of %zu were killed in time", killed,
	       count * N_ELEMENTS(ops));
}

/* A keyring that is being destroyed is either there or not; it can be destroyed
   again. */
static void test_kill_destroy(void)
{
	unsigned int calls = 0;
	int status, ret;

	test_begin("store kill at each call: destroy");
	do T_BEGIN {
		struct keyring_store *store = keyring_store_file_init(PATH);
		const char *error;
		pid_t pid;

		test_dir_make(DIR);
		test_file_make(PATH, first_text);
		test_file_make(PATH".bak", first_text);
		test_file_make(PATH".tmp.0123456789abcdef", first_text);
		if ((pid = fork()) < 0)
			i_fatal("fork() failed: %m");
		if (pid == 0) {
			fault.calls = (calls + 1) / 2 + 1;
			fault.after = calls % 2 == 0;
			fault.kill = TRUE;
			fault.active = TRUE;
			ret = keyring_store_destroy(store, &error);
			keyring_store_deinit(&store);
			_exit(ret < 0 ? 1 : 0);
		}
		calls++;
		if (waitpid(pid, &status, 0) < 0)
			i_fatal("waitpid() failed: %m");
		ret = keyring_store_destroy(store, &error);
		if (ret < 0)
			i_error("destroy again: %s", error);
		test_assert_idx(ret >= 0, calls);
		test_assert_idx(access(PATH, F_OK) < 0, calls);
		test_assert_strcmp_idx(test_dir_list(DIR), "", calls);
		keyring_store_deinit(&store);
	} T_END; while (WIFSIGNALED(status));
	test_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	test_assert_ucmp(calls, >, 20);
	test_end();
}

static int child_disk_full(void)
{
	static const char zeros[4096];
	struct keyring_store *store;
	const char *error;
	int fd;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", DIR, "tmpfs", 0, "size=65536") < 0)
		return 9;
	test_file_make(PATH, first_text);
	fd = open(DIR"/fill", O_WRONLY | O_CREAT, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0) ;
	store = keyring_store_file_init(PATH);
	if (op_run(&ops[0], store, &error) != -1)
		return 1;
	if (strstr(error, "No space left on device") == NULL) {
		i_error("%s", error);
		return 2;
	}
	if (strcmp(test_dir_list(DIR), "fill keyring") != 0 ||
	    strcmp(test_file_read(PATH), first_text) != 0)
		return 3;
	if (ftruncate(fd, 0) < 0 || op_run(&ops[0], store, &error) != 1)
		return 4;
	keyring_store_deinit(&store);
	return 0;
}

static void test_disk_full(void)
{
	pid_t pid;
	int status;

	test_begin("store change on a full disk");
	test_dir_make(DIR);
	if ((pid = fork()) < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0)
		_exit(child_disk_full());
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	test_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 9)
		i_info("not tested, as mounting is not allowed");
	else
		test_assert_cmp(WEXITSTATUS(status), ==, 0);
	test_end();
}

#define PROCESSES 8

/* Readers see a whole keyring at any time. */
static int child_read(struct keyring_store *store,
		      struct test_change *change ATTR_UNUSED,
		      unsigned int process ATTR_UNUSED)
{
	struct keyring *keyring;
	const char *error;

	for (unsigned int i = 0; i < 1000; i++) {
		if (keyring_store_load(store, &keyring, &error) != 1) {
			i_error("load: %s", error);
			return 1;
		}
		keyring_free(&keyring);
		if (keyring_store_notice(store) != NULL)
			return 2;
	}
	return 0;
}

typedef int child_func_t(struct keyring_store *store,
			 struct test_change *change, unsigned int process);

static pid_t start(child_func_t *func, unsigned int process)
{
	struct test_change change = { .secret = SECRET_1 };
	struct keyring_store *store;
	pid_t pid = fork();
	int ret;

	if (pid < 0)
		i_fatal("fork() failed: %m");
	if (pid > 0)
		return pid;
	(void)alarm(300);
	store = keyring_store_file_init(PATH);
	ret = func(store, &change, process);
	keyring_store_deinit(&store);
	age_identities_deinit(&change.identities);
	_exit(ret);
}

static unsigned int earlier_count(const struct keyring *keyring)
{
	unsigned int count;

	(void)keyring_earlier(keyring, &count);
	return count;
}

static void test_concurrent(void)
{
	pid_t pids[PROCESSES];
	struct keyring *keyring;
	struct keyring_store *store;
	unsigned int count, found = 0;
	const char *error;
	int status;

	test_begin("store concurrent changes");
	op_prepare(&ops[0]);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		pids[i] = start(i == 0 ? test_child_rotate : i == 1 ? child_read :
				test_child_slots, i);
	}
	for (unsigned int i = 0; i < PROCESSES; i++) {
		if (waitpid(pids[i], &status, 0) < 0)
			i_fatal("waitpid() failed: %m");
		test_assert_idx(WIFEXITED(status) &&
				WEXITSTATUS(status) == 0, i);
	}
	test_assert_strcmp(test_dir_list(DIR), "keyring");
	store = keyring_store_file_init(PATH);
	if (keyring_store_load(store, &keyring, &error) <= 0)
		i_fatal("%s", error);
	(void)keyring_slots(keyring, &count);
	for (unsigned int i = 2; i < PROCESSES; i++)
		found += test_child_count(keyring, i);
	test_assert_ucmp(found, ==, (PROCESSES - 2) * TEST_CHILD_SLOTS / 2);
	/* the two passwords, the code, and a link for the second password */
	test_assert_ucmp(count, ==, found + 4);
	test_assert_ucmp(earlier_count(keyring), ==, TEST_CHILD_SLOTS);
	test_assert(opens(keyring, SECRET_1));
	test_assert(opens(keyring, SECRET_3));
	keyring_free(&keyring);
	keyring_store_deinit(&store);
	test_end();
}

static void fixture_deinit(void)
{
	test_dir_remove(DIR);
	age_identities_deinit(&first_identities);
	keyring_free(&first);
	i_free(first_text);
}

static void fixture_init(void)
{
	struct keyring_edit *edit;
	void *code = secret_alloc(sizeof(struct age_x25519_identity));
	const char *error;

	first = test_keyring_new(SECRET_1);
	first_identities = test_keyring_open(first, SECRET_1);
	edit = test_edit_begin(first, first_identities);
	if (keyring_edit_add_password(edit, SECRET_3, &test_costs, "phone",
				      &error) < 0 ||
	    keyring_edit_add_recovery(edit, "code", code, &error) < 0)
		i_fatal("%s", error);
	test_edit_finish(&edit, &first);
	secret_free(&code);
	first_text = i_strdup(test_keyring_text(first));
}

int main(void)
{
	static void (*const tests[])(void) = {
		fixture_init,
		test_kill_at_each_call,
		test_fail_at_each_call,
		test_kill_at_any_time,
		test_kill_destroy,
		test_disk_full,
		test_concurrent,
		fixture_deinit,
		NULL
	};
	const char *error;

	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	return test_run(tests);
}
