/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib.h"
#include "array.h"
#include "ioloop.h"
#include "str.h"
#include "test-common.h"
#include "dict.h"
#include "crypto/secret.h"
#include "store-util.h"
#include "under-valgrind.h"
#if DOVECOT_PREREQ(2, 4, 0)
#  include "master-service.h"
#  include "settings.h"
#endif

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Keyrings in dicts. test-store-dict.sh starts the servers and says which dict
   is to be tested, and how:

     test-store-dict redis:SOCKET | proxy:SOCKET:NAME [VERB]

   works     all tests, with new users
   dead      nothing answers: every call is an error, and soon
   unsafe    a database without the trigger: nothing is stored
   cuts      a database that stores less than it is given */

#define PROCESSES 6

static const char *dict_uri;
/* A new one for each test. */
static const char *user;

#if DOVECOT_PREREQ(2, 4, 0)
static struct settings_simple settings;

/* The driver of the proxy looks for the service that it is in. */
static void service_init(int *argc, char **argv[])
{
	master_service = master_service_init("test-store-dict",
		MASTER_SERVICE_FLAG_STANDALONE |
		MASTER_SERVICE_FLAG_DONT_SEND_STATS |
		MASTER_SERVICE_FLAG_NO_CONFIG_SETTINGS, argc, argv, "");
}

static void service_deinit(void)
{
	master_service_deinit(&master_service);
}

static void settings_init(void)
{
	const char *const *args = t_strsplit(dict_uri, ":");

	if (strcmp(args[0], "redis") == 0) {
		settings_simple_init(&settings, (const char *const []) {
			"dict", "redis",
			"dict/redis/redis_socket_path", args[1],
			"dict/redis/redis_request_timeout", "2s",
			NULL
		});
	} else {
		settings_simple_init(&settings, (const char *const []) {
			"dict", "proxy",
			"dict/proxy/dict_proxy_socket_path", args[1],
			"dict/proxy/dict_proxy_name", args[2],
			NULL
		});
	}
}

static void settings_deinit(void)
{
	settings_simple_deinit(&settings);
}

static struct keyring_dict_settings dict_settings(void)
{
	return (struct keyring_dict_settings) {
		.event = settings.event, .username = user
	};
}
#else
static void service_init(int *argc ATTR_UNUSED, char **argv[] ATTR_UNUSED) { }
static void service_deinit(void) { }
static void settings_init(void) { }
static void settings_deinit(void) { }

static struct keyring_dict_settings dict_settings(void)
{
	const char *uri = dict_uri;

	if (strncmp(uri, "redis:", 6) == 0)
		uri = t_strdup_printf("redis:path=%s:timeout_msecs=2000",
				      uri + 6);
	return (struct keyring_dict_settings) {
		.uri = uri, .username = user, .base_dir = "/nowhere"
	};
}
#endif

static struct keyring_store *store_open(void)
{
	const struct keyring_dict_settings set = dict_settings();
	struct keyring_store *store;
	const char *error;

	if (keyring_store_dict_init(&set, &store, &error) < 0)
		i_fatal("%s", error);
	return store;
}

static struct keyring *first;

static void user_new(const char *name)
{
	user = t_strdup_printf("%s/%s-%ld", name, dec2str(getpid()),
			       (long)time(NULL));
}

/* Returns as keyring_store_load(). */
static int load(struct keyring_store *store, struct keyring **keyring_r)
{
	const char *error = "";
	int ret = keyring_store_load(store, keyring_r, &error);

	if (ret < 0)
		i_error("load: %s", error);
	return ret;
}

static void assert_stored(struct keyring_store *store, const char *text)
{
	struct keyring *keyring;

	test_assert(load(store, &keyring) == (text == NULL ? 0 : 1));
	if (text != NULL && keyring != NULL) {
		test_assert_strcmp(test_keyring_text(keyring), text);
		keyring_free(&keyring);
	}
}

static void test_dict(void)
{
	struct test_change change = {
		.secret = SECRET_1, .func = test_change_add, .label = "code",
	};
	struct keyring_store *store;
	struct keyring *other = test_keyring_new(SECRET_2), *keyring;
	const char *error = "", *text;

	test_begin("dict: none");
	user_new("basic");
	store = store_open();
	test_assert_strcmp(keyring_store_name(store), t_strdup_printf(
		"keyring of %s in the dict", user));
	assert_stored(store, NULL);
	test_assert(keyring_store_destroy(store, &error) == 0);
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, t_strdup_printf(
		"keyring of %s in the dict: does not exist", user));
	assert_stored(store, NULL);
	test_end();

	test_begin("dict: create");
	test_assert(keyring_store_create(store, first, &error) == 1);
	test_assert_strcmp(error, t_strdup_printf(
		"keyring of %s in the dict: does not exist", user));
	assert_stored(store, test_keyring_text(first));
	test_assert(keyring_store_create(store, other, &error) == 0);
	assert_stored(store, test_keyring_text(first));
	test_end();

	test_begin("dict: change");
	test_assert(test_store_change(store, &change, &error) == 1);
	test_assert(load(store, &keyring) == 1);
	text = test_keyring_text(keyring);
	test_assert(strstr(text, "label=\"code\"") != NULL);
	test_assert(keyring_store_settle(store, keyring, &error) == 0);
	keyring_free(&keyring);
	change.func = test_change_nothing;
	test_assert(test_store_change(store, &change, &error) == 0);
	assert_stored(store, text);
	change.change_error = "not today";
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert_strcmp(error, "not today");
	assert_stored(store, text);
	change.change_error = NULL;
	change.verify_error = "does not open";
	change.func = test_change_remove;
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert(strstr(error, "cannot store the new keyring, the previous "
			   "one stays in its place: does not open") != NULL);
	assert_stored(store, text);
	change.verify_error = NULL;
	change.func = test_change_rotate;
	change.slot_idx = 0;
	change.label = NULL;
	test_assert(test_store_change(store, &change, &error) == 1);
	test_assert(load(store, &keyring) == 1);
	test_assert(keyring_fits(keyring, change.identities));
	keyring_free(&keyring);
	test_end();

	test_begin("dict: another user");
	keyring_store_deinit(&store);
	user_new("other");
	store = store_open();
	assert_stored(store, NULL);
	test_assert(keyring_store_create(store, other, &error) == 1);
	keyring_store_deinit(&store);
	store = store_open();
	assert_stored(store, test_keyring_text(other));
	test_end();

	test_begin("dict: destroy");
	test_assert(keyring_store_destroy(store, &error) == 1);
	assert_stored(store, NULL);
	test_assert(keyring_store_destroy(store, &error) == 0);
	test_assert(test_store_change(store, &change, &error) == -1);
	test_assert(strstr(error, "does not exist") != NULL);
	test_assert(keyring_store_create(store, first, &error) == 1);
	assert_stored(store, test_keyring_text(first));
	test_assert(keyring_store_destroy(store, &error) == 1);
	assert_stored(store, NULL);
	keyring_store_deinit(&store);
	keyring_free(&other);
	age_identities_deinit(&change.identities);
	test_end();
}

/* What the drivers and databases might take for something else. */
static void test_dict_names(void)
{
	static const char *const names[] = {
		"a", "A", "a/", "a/b", "a%2fb", "a b", " a", "a\tb", "a'b",
		"a\"b", "a%ub", "%s", "a+b@example.com", "a:b", "\xc3\xa4",
		"*", "a?", "${a}", "a\nb",
	};
	struct keyring *keyrings[N_ELEMENTS(names)];
	struct keyring_store *store;
	const char *error = "", *prefix;

	test_begin("dict: names");
	user_new("names");
	prefix = user;
	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		user = t_strconcat(prefix, names[i], NULL);
		store = store_open();
		keyrings[i] = test_keyring_new(SECRET_1);
		test_assert_idx(keyring_store_create(store, keyrings[i],
						     &error) == 1, i);
		keyring_store_deinit(&store);
	}
	for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
		user = t_strconcat(prefix, names[i], NULL);
		store = store_open();
		assert_stored(store, test_keyring_text(keyrings[i]));
		keyring_store_deinit(&store);
		keyring_free(&keyrings[i]);
	}
	test_end();
}

/* first, with comments up to this size. */
static struct keyring *large_keyring(size_t size)
{
	string_t *text = t_str_new(size + 1024);

	str_append(text, test_keyring_text(first));
	while (str_len(text) < size - 64) {
		str_append(text, "# 45678901234567890123456789012345678"
			   "901234567890123456789012\n");
	}
	return test_keyring_parse(str_c(text));
}

static void test_dict_large(void)
{
	static const struct {
		unsigned int kib;
		int ret;
	} tests[] = {
		{ 16, 1 }, { 58, 1 }, { 64, -1 }, { 128, -1 }, { 1024, -1 },
	};
	struct keyring_store *store;
	struct keyring *keyring;
	const char *error;

	for (unsigned int i = 0; i < N_ELEMENTS(tests); i++) {
		test_begin(t_strdup_printf("dict: %u KiB", tests[i].kib));
		user_new(t_strdup_printf("large-%u", i));
		store = store_open();
		keyring = large_keyring(tests[i].kib * 1024);
		test_assert(keyring_store_create(store, keyring,
						 &error) == tests[i].ret);
		if (tests[i].ret < 0) {
			test_assert(strstr(error, "is too much for a dict") !=
				    NULL);
		}
		assert_stored(store, tests[i].ret < 0 ? NULL :
			      test_keyring_text(keyring));
		keyring_free(&keyring);
		test_assert(keyring_store_destroy(store, &error) ==
			    (tests[i].ret < 0 ? 0 : 1));
		keyring_store_deinit(&store);
		test_end();
	}
}

typedef int child_func_t(struct keyring_store *store,
			 struct test_change *change, unsigned int process);

static void child_run(child_func_t *func, unsigned int process) ATTR_NORETURN;
static void child_run(child_func_t *func, unsigned int process)
{
	struct ioloop *ioloop = io_loop_create();
	struct test_change change = { .secret = SECRET_1 };
	struct keyring_store *store;
	int ret;

	(void)alarm(300);
	store = store_open();
	ret = func(store, &change, process);
	keyring_store_deinit(&store);
	age_identities_deinit(&change.identities);
	io_loop_destroy(&ioloop);
	_exit(ret);
}

static pid_t start(child_func_t *func, unsigned int process)
{
	pid_t pid = fork();

	if (pid < 0)
		i_fatal("fork() failed: %m");
	if (pid == 0)
		child_run(func, process);
	return pid;
}

static int child_create(struct keyring_store *store,
			struct test_change *change ATTR_UNUSED,
			unsigned int process)
{
	struct keyring *mine = test_keyring_new(SECRET_1), *keyring;
	const char *error = "";
	int ret;

	ret = keyring_store_create(store, mine, &error);
	if (ret < 0)
		i_error("create %u: %s", process, error);
	else if (load(store, &keyring) != 1)
		ret = -1;
	else {
		/* what it sees now is what everybody will see */
		if ((strcmp(test_keyring_text(keyring),
			    test_keyring_text(mine)) == 0) != (ret == 1))
			ret = -1;
		keyring_free(&keyring);
	}
	keyring_free(&mine);
	return ret < 0 ? 2 : ret;
}

static unsigned int
run_all(child_func_t *const funcs[PROCESSES], int expected)
{
	pid_t pids[PROCESSES];
	unsigned int count = 0;
	int status;

	for (unsigned int i = 0; i < PROCESSES; i++)
		pids[i] = start(funcs[i], i);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		if (waitpid(pids[i], &status, 0) < 0)
			i_fatal("waitpid() failed: %m");
		test_assert_idx(WIFEXITED(status), i);
		test_assert_idx(WEXITSTATUS(status) == 0 ||
				WEXITSTATUS(status) == expected, i);
		if (WEXITSTATUS(status) == expected)
			count++;
	}
	return count;
}

static void test_dict_create_concurrent(void)
{
	static child_func_t *const funcs[PROCESSES] = {
		child_create, child_create, child_create, child_create,
		child_create, child_create
	};
	struct keyring_store *store;
	const char *error;

	test_begin("dict: concurrent creation");
	for (unsigned int i = 0; i < 20; i++) {
		user_new(t_strdup_printf("create-%u", i));
		if (i % 2 != 0) {
			store = store_open();
			test_assert(keyring_store_create(store, first,
							 &error) == 1);
			test_assert(keyring_store_destroy(store, &error) == 1);
			keyring_store_deinit(&store);
		}
		test_assert_idx(run_all(funcs, 1) == 1, i);
	}
	test_end();
}

static int child_read(struct keyring_store *store,
		      struct test_change *change ATTR_UNUSED,
		      unsigned int process ATTR_UNUSED)
{
	struct keyring *keyring;
	unsigned int count, last = 0;

	for (unsigned int i = 0; i < 300; i++) {
		if (load(store, &keyring) != 1)
			return 2;
		/* never an older one than before */
		(void)keyring_earlier(keyring, &count);
		keyring_free(&keyring);
		if (count < last) {
			i_error("%u after %u", count, last);
			return 2;
		}
		last = count;
	}
	return 0;
}

static unsigned int earlier_count(const struct keyring *keyring)
{
	unsigned int count;

	(void)keyring_earlier(keyring, &count);
	return count;
}

static void test_dict_concurrent(void)
{
	static child_func_t *const funcs[PROCESSES] = {
		test_child_rotate, child_read, test_child_slots,
		test_child_slots, test_child_slots, test_child_slots,
	};
	struct keyring_store *store;
	struct keyring *keyring;
	unsigned int count, found = 0;
	const char *error;

	test_begin("dict: concurrent changes");
	user_new("concurrent");
	store = store_open();
	test_assert(keyring_store_create(store, first, &error) == 1);
	test_assert(run_all(funcs, 2) == 0);
	if (load(store, &keyring) <= 0)
		i_fatal("concurrent: there is none");
	(void)keyring_slots(keyring, &count);
	for (unsigned int i = 2; i < PROCESSES; i++)
		found += test_child_count(keyring, i);
	test_assert_ucmp(found, ==, (PROCESSES - 2) * TEST_CHILD_SLOTS / 2);
	test_assert_ucmp(count, ==, found + 1);
	test_assert_ucmp(earlier_count(keyring), ==, TEST_CHILD_SLOTS);
	keyring_free(&keyring);
	keyring_store_deinit(&store);
	test_end();
}

static const struct {
	int (*func)(struct keyring_edit *edit, struct test_change *change,
		    const char **error_r);
	const char *label;
} kill_ops[] = {
	{ test_change_add, "new" },
	{ test_change_remove, "new" },
	{ test_change_password, NULL },
	{ test_change_rotate, NULL },
	/* destroy, create */
	{ NULL, NULL },
};

static int child_kill_op(struct keyring_store *store,
			 struct test_change *change, unsigned int op)
{
	const char *error;

	if (kill_ops[op].func == NULL) {
		if (keyring_store_destroy(store, &error) < 0 ||
		    keyring_store_create(store, first, &error) < 0) {
			i_error("destroy or create: %s", error);
			return 2;
		}
		return 0;
	}
	change->func = kill_ops[op].func;
	change->label = kill_ops[op].label;
	change->new_secret = SECRET_1;
	if (test_store_change(store, change, &error) < 0 &&
	    /* in the middle of the last one */
	    strstr(error, "does not exist") == NULL) {
		i_error("change %u: %s", op, error);
		return 2;
	}
	return 0;
}

static uintmax_t now_usecs(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		i_fatal("clock_gettime() failed: %m");
	return (uintmax_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool op_can_run(const struct keyring *keyring, unsigned int op)
{
	const struct keyring_slot *slots;
	unsigned int count;
	bool found = FALSE;

	slots = keyring_slots(keyring, &count);
	for (unsigned int i = 0; i < count; i++) {
		if (null_strcmp(slots[i].label, "new") == 0)
			found = TRUE;
	}
	return op > 1 || found == (op == 1);
}

/* Kill changes at any time, two at once. */
static void test_dict_killed(void)
{
	const unsigned int count = test_under_valgrind() ? 20 : 100;
	struct keyring_store *store;
	struct keyring *keyring;
	struct age_identities *identities;
	uintmax_t begin, duration;
	unsigned int killed = 0;
	const char *error;
	int status, ret;

	test_begin("dict: killed");
	user_new("killed");
	store = store_open();
	test_assert(keyring_store_create(store, first, &error) == 1);
	begin = now_usecs();
	pid_t pid = start(child_kill_op, 3);
	if (waitpid(pid, &status, 0) < 0)
		i_fatal("waitpid() failed: %m");
	duration = (now_usecs() - begin) * 3 / 2;
	test_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (unsigned int i = 0; i < count; i++) T_BEGIN {
		unsigned int op = i % N_ELEMENTS(kill_ops);
		pid_t pids[2];

		ret = load(store, &keyring);
		test_assert_idx(ret >= 0, i);
		if (ret == 0) {
			/* killed between destroying and creating */
			test_assert_idx(keyring_store_create(
				store, first, &error) >= 0, i);
			ret = load(store, &keyring);
			test_assert_idx(ret == 1, i);
		}
		identities = test_keyring_open(keyring, SECRET_1);
		age_identities_deinit(&identities);
		if (!op_can_run(keyring, op))
			op = 3;
		keyring_free(&keyring);
		for (unsigned int j = 0; j < 2; j++)
			pids[j] = start(child_kill_op, j == 0 ? op : 3);
		usleep(i * 7919 % count * duration / count);
		for (unsigned int j = 0; j < 2; j++) {
			(void)kill(pids[j], SIGKILL);
			if (waitpid(pids[j], &status, 0) < 0)
				i_fatal("waitpid() failed: %m");
			if (WIFSIGNALED(status))
				killed++;
		}
	} T_END;
	i_info("%u processes of %u were killed in time", killed, 2 * count);
	test_assert(keyring_store_destroy(store, &error) >= 0);
	assert_stored(store, NULL);
	keyring_store_deinit(&store);
	test_end();
}

static void test_dict_dead(void)
{
	struct test_change change = {
		.secret = SECRET_1, .func = test_change_add,
	};
	struct keyring_store *store;
	struct keyring *keyring;
	const char *error = NULL;
	uintmax_t begin = now_usecs();

	test_begin("dict: dead");
	user_new("dead");
	store = store_open();
	test_assert(keyring_store_load(store, &keyring, &error) == -1);
	i_info("load: %s", error);
	test_assert(keyring_store_create(store, first, &error) == -1);
	i_info("create: %s", error);
	test_assert(test_store_change(store, &change, &error) == -1);
	i_info("change: %s", error);
	test_assert(keyring_store_destroy(store, &error) == -1);
	i_info("destroy: %s", error);
	keyring_store_deinit(&store);
	i_info("%u ms", (unsigned int)((now_usecs() - begin) / 1000));
	/* twice the time for each */
	test_assert_ucmp((now_usecs() - begin) / 1000000, <=,
			 4 * (2 * KEYRING_STORE_TIMEOUT_SECS + 1));
	test_end();
}

static void test_dict_unsafe(void)
{
	struct keyring_store *store;
	const char *error = "";

	test_begin("dict: unsafe");
	user_new("unsafe");
	store = store_open();
	/* also when it is tried again */
	for (unsigned int i = 0; i < 2; i++) {
		test_assert_idx(keyring_store_create(store, first,
						     &error) == -1, i);
		test_assert_idx(strstr(error, "carries changes out that come "
				       "too late: it needs the trigger") !=
				NULL, i);
		assert_stored(store, NULL);
	}
	keyring_store_deinit(&store);
	test_end();
}

static void test_dict_cuts(void)
{
	struct keyring_store *store;
	struct keyring *keyring;
	const char *error = "";

	test_begin("dict: cuts");
	user_new("cuts");
	store = store_open();
	test_assert(keyring_store_create(store, first, &error) == -1);
	test_assert(strstr(error, "what was stored cannot be read back: ") !=
		    NULL);
	/* and it stays in the way of others */
	test_assert(keyring_store_load(store, &keyring, &error) == -1);
	test_assert(keyring_store_create(store, first, &error) == 0);
	keyring_store_deinit(&store);
	test_end();
}

static struct ioloop *ioloop;

static void fixture_init(void)
{
	ioloop = io_loop_create();
	dict_drivers_register_builtin();
	settings_init();
	first = test_keyring_new(SECRET_1);
}

static void fixture_deinit(void)
{
	keyring_free(&first);
	settings_deinit();
	dict_drivers_unregister_builtin();
	io_loop_destroy(&ioloop);
}

int main(int argc, char *argv[])
{
	static void (*const works[])(void) = {
		fixture_init,
		test_dict,
		test_dict_names,
		test_dict_large,
		test_dict_create_concurrent,
		test_dict_concurrent,
		test_dict_killed,
		fixture_deinit,
		NULL
	};
	static void (*const dead[])(void) = {
		fixture_init, test_dict_dead, fixture_deinit, NULL
	};
	static void (*const unsafe[])(void) = {
		fixture_init, test_dict_unsafe, fixture_deinit, NULL
	};
	static void (*const cuts[])(void) = {
		fixture_init, test_dict_cuts, fixture_deinit, NULL
	};
	static const struct {
		const char *verb;
		void (*const *tests)(void);
	} verbs[] = {
		{ "works", works }, { "dead", dead }, { "unsafe", unsafe },
		{ "cuts", cuts },
	};
	const char *error, *verb;
	int ret = 1;

	service_init(&argc, &argv);
	if (argc < 2)
		i_fatal("usage: test-store-dict DICT [VERB]");
	verb = argc < 3 ? "works" : argv[2];
	if (crypto_init(&error) < 0)
		i_fatal("%s", error);
	dict_uri = argv[1];
	for (unsigned int i = 0; i < N_ELEMENTS(verbs); i++) {
		if (strcmp(verbs[i].verb, verb) == 0)
			ret = test_run(verbs[i].tests);
	}
	service_deinit();
	return ret;
}
