#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs test-store-dict against real servers, those that are installed: Redis;
# and, through the dict proxy of a private Dovecot (as root), SQLite, PostgreSQL
# and Redis. All live in a folder of their own and are stopped by their id.

set -u
schemas=${srcdir:?}/../../plugin/keyring
dir=$(mktemp -d /tmp/mail-seal-dict.XXXXXX) || exit 99
chmod 755 "$dir"
pids=()
status=77

finish() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 99' INT TERM

say() {
	echo "test-store-dict: $*" >&2
}

# fail WHAT: the reason stands in the log, whatever was the last test.
fail() {
	say "FAILED: $*"
	status=1
}

# start COMMAND…: in the background, until the end.
start() {
	"$@" >>"$dir/log" 2>&1 &
	pids+=($!)
}

# wait_for COMMAND…
wait_for() {
	local i
	for i in {1..600}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	say "$1 doesn't come up" && cat "$dir/log" >&2
	exit 99
}

# run DICT VERB
run() {
	say "$*"
	./test-store-dict "$@" || fail "$* ended with $?"
	[ "$status" = 1 ] || status=0
}

start_redis() {
	start redis-server --port 0 --unixsocket "$dir/redis" --dir "$dir" \
		--unixsocketperm 777 --save '' --appendonly no
	wait_for redis-cli -s "$dir/redis" ping
}

# What must not be left of a keyring that was destroyed.
check_redis() {
	local left
	left=$(redis-cli -s "$dir/redis" --scan --pattern '*killed*' |
		grep -E '/(keyring|text/[0-9]+)$')
	[ -z "$left" ] && return
	fail "left in Redis: $left"
}

test_redis() {
	start_redis
	local redis=${pids[-1]}
	say "redis:$dir/redis"
	# shellcheck disable=SC2086
	${RUN_TEST-} ./test-store-dict "redis:$dir/redis" ||
		fail "redis ended with $?"
	[ "$status" = 1 ] || status=0
	check_redis
	kill -STOP "$redis"
	run "redis:$dir/redis" dead
	kill -CONT "$redis"
}

# has_driver NAME
has_driver() {
	find /usr/lib*/dovecot -name "libdriver_$1.so" 2>/dev/null | grep -q .
}

start_pgsql() {
	local bin=$1
	install -d -o postgres "$dir/pgsql" || return
	su postgres -c "$bin/initdb -A trust -D $dir/pgsql/data" >>"$dir/log" ||
		return
	start su postgres -c "exec $bin/postgres -D $dir/pgsql/data \
		-c listen_addresses= -c unix_socket_directories=$dir/pgsql \
		-c max_connections=300"
	wait_for su postgres -c "psql -h $dir/pgsql -c ''"
	su postgres -c "psql -q -h $dir/pgsql" <"$schemas/dict-pgsql.sql"
}

# The same maps for each database: map23 NAME, map24 NAME.
map23() {
	echo "map {
		pattern = priv/mail-seal/$1
		table = mail_seal
		username_field = username
		value_field = $1
		value_type = $2
	}"
}

map24() {
	echo "dict_map priv/mail-seal/$1 {
		sql_table = mail_seal
		username_field = username
		value_field $1 {
			type = $2
		}
	}"
}

maps() {
	"$1" keyring string
	"$1" revision int
	"$1" writers string
}

# dict23 NAME DRIVER CONNECT, dict24 NAME SETTING…
dict23() {
	{
		echo "connect = $3"
		maps map23
	} >"$dir/$1.ext"
	echo "$1 = $2:$dir/$1.ext"
}

dict24() {
	echo "dict $1 {"
	printf '%s\n' "${@:2}"
	maps map24
	echo "}"
}

config23() {
	echo "dict {"
	dict23 sqlite sqlite "$dir/sqlite.db"
	dict23 unsafe sqlite "$dir/unsafe.db"
	dict23 cuts sqlite "$dir/cuts.db"
	dict23 dead sqlite "$dir/dead.db"
	dict23 pgsql pgsql "host=$dir/pgsql user=postgres"
	echo "redis = redis:path=$dir/redis
	}"
}

config24() {
	echo "dovecot_config_version = $1
	dovecot_storage_version = $1
	dict_server {"
	dict24 sqlite "driver = sql" "sql_driver = sqlite" \
		"sqlite_path = $dir/sqlite.db"
	dict24 unsafe "driver = sql" "sql_driver = sqlite" \
		"sqlite_path = $dir/unsafe.db"
	dict24 cuts "driver = sql" "sql_driver = sqlite" \
		"sqlite_path = $dir/cuts.db"
	dict24 dead "driver = sql" "sql_driver = sqlite" \
		"sqlite_path = $dir/dead.db"
	dict24 pgsql "driver = sql" "sql_driver = pgsql" \
		"pgsql $dir/pgsql {
			parameters {
				user = postgres
			}
		}"
	echo "dict redis {
			driver = redis
			redis_socket_path = $dir/redis
		}
	}"
}

config() {
	local version
	version=$(dovecot --version | sed 's/[^0-9.].*//')
	case $version in
	2.3.*) config23 ;;
	*) config24 "$version" ;;
	esac
	echo "base_dir = $dir/run
	log_path = $dir/dovecot.log
	protocols =
	ssl = no
	service dict {
		unix_listener dict {
			mode = 0666
		}
	}
	service stats {
		unix_listener stats-writer {
			mode = 0666
		}
	}"
}

start_dovecot() {
	config >"$dir/dovecot.conf"
	start dovecot -F -c "$dir/dovecot.conf"
	wait_for test -S "$dir/run/dict"
}

make_sqlite() {
	sqlite3 "$dir/sqlite.db" <"$schemas/dict-sqlite.sql"
	sed '/TRIGGER/,$d' "$schemas/dict-sqlite.sql" | sqlite3 "$dir/unsafe.db"
	sqlite3 "$dir/cuts.db" <<EOF
$(cat "$schemas/dict-sqlite.sql")
CREATE TRIGGER cut AFTER UPDATE ON mail_seal BEGIN
	UPDATE mail_seal SET keyring = substr(NEW.keyring, 1, 500),
		revision = revision + 1 WHERE username = NEW.username;
END;
EOF
	# SQLite makes files beside its own.
	chmod 666 "$dir"/*.db
	chmod 777 "$dir"
}

test_sqlite() {
	run "proxy:$dir/run/dict:sqlite" works
	run "proxy:$dir/run/dict:unsafe" unsafe
	run "proxy:$dir/run/dict:cuts" cuts
	run "proxy:$dir/run/dict:dead" dead
}

test_proxy() {
	local sqlite='' pgsql=''
	if [ "$(id -u)" != 0 ] || ! command -v dovecot >/dev/null; then
		say "SKIP the dict proxy: it takes root and Dovecot"
		return
	fi
	has_driver sqlite && command -v sqlite3 >/dev/null && sqlite=yes
	has_driver pgsql && pgsql=$(find /usr/lib/postgresql/*/bin -name initdb \
		-printf '%h\n' 2>/dev/null | tail -n 1)
	[ -z "$sqlite" ] || make_sqlite
	[ -z "$pgsql" ] || start_pgsql "$pgsql" || exit 99
	start_dovecot
	if [ -n "$sqlite" ]; then test_sqlite; else say "SKIP SQLite"; fi
	if [ -n "$pgsql" ]; then
		run "proxy:$dir/run/dict:pgsql" works
	else
		say "SKIP PostgreSQL"
	fi
	[ ! -S "$dir/redis" ] || run "proxy:$dir/run/dict:redis" works
	check_log
}

# The dead one is expected to complain; and the Redis driver of Dovecot 2.3
# crashes if its client is killed within a transaction.
check_log() {
	local lines
	lines=$(grep -E 'Error|Panic|Fatal' "$dir/dovecot.log" |
		grep -vE 'dead: |no such table|dict(\([0-9]+\))?: Fatal: .* signal 11')
	[ -z "$lines" ] || fail "in Dovecot's log: $lines"
}

if command -v redis-server >/dev/null; then
	test_redis
else
	say "SKIP Redis"
fi
test_proxy
exit $status
