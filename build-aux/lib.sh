# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the scripts of this folder share. They source it; it does nothing itself.

set -u -o pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is made once and kept between runs: the Debian 13 root, npm packages.
cache=${MAIL_SEAL_CACHE:-/var/tmp/mail-seal-cache}

packages_build="gcc libc6-dev make autoconf automake libtool pkg-config
	dovecot-dev libsodium-dev libssl-dev"
packages_run="dovecot-core dovecot-imapd dovecot-lmtpd dovecot-pop3d
	dovecot-sieve age curl openssl python3"
packages_test="dovecot-managesieved dovecot-sqlite isync mandoc python3-pytest
	python3-pytest-xdist redis-server sqlite3 valgrind"
# Where a server may be installed without asking. Natively PostgreSQL, LDAP and
# Roundcube's plugin are tested if these are there.
packages_test_13="dovecot-ldap dovecot-pgsql php-cli postgresql slapd"
packages_deb="debhelper dpkg-dev lintian"
packages_check="clang git libclang-rt-dev xz-utils"

# What sudo lets through: our own settings, and how to reach the network.
keep_environment=CI,CHECK_SECONDS,DEB_BUILD_OPTIONS,FUZZ_SECONDS,MAIL_SEAL_CACHE,MAIL_SEAL_DEMO
keep_environment+=,MAIL_SEAL_THOROUGH,http_proxy,https_proxy,no_proxy
keep_environment+=,NODE_EXTRA_CA_CERTS

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Start the calling script again as root, unless it is.
as_root() {
	[ "$(id -u)" -ne 0 ] || return 0
	command -v sudo >/dev/null || die "needs root, or sudo"
	exec sudo --preserve-env="$keep_environment" "$0" "$@"
}

# 12 or 13; other systems are refused.
debian_release() {
	local id release
	# shellcheck source=/dev/null
	id=$(. /etc/os-release && echo "${ID:-}")
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && echo "${VERSION_ID:-}")
	case $id$release in
	debian12 | debian13) echo "$release" ;;
	*) die "made for Debian 12 and 13, this is $id $release" ;;
	esac
}

# The package with CPython's email messages: RELEASE
python_testsuite() {
	case $1 in
	12) echo libpython3.11-testsuite ;;
	13) echo libpython3.13-testsuite ;;
	esac
}

# The backend of fts that is tested: RELEASE
fts_backend() {
	case $1 in
	12) echo dovecot-lucene ;;
	13) echo dovecot-flatcurve ;;
	esac
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = \
		installed ]
}

# apt-get; what it says is shown if it fails.
apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=600 "$@" </dev/null \
		>"$cache/apt.log" 2>&1 || {
		tail -n 30 "$cache/apt.log"
		die "failed: apt-get $*"
	}
}

# Install those of the packages that are missing. No service is started, and
# neither Dovecot nor Redis is set to start at boot if it is us who installed it.
install_packages() (
	missing=()
	for package; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing: ${missing[*]}"
	mkdir -p "$cache"
	exec 9>"$cache/apt.lock"
	flock 9
	forbid_services
	trap allow_services EXIT
	apt update
	apt install --no-install-recommends "${missing[@]}"
	case " ${missing[*]} " in
	*" dovecot-core "*)
		disable_service dovecot-core dovecot dovecot.socket
		;;
	esac
	case " ${missing[*]} " in
	*" redis-server "*) disable_service redis-server redis-server ;;
	esac
)

# Not at boot either: what the package's own removal would do. PACKAGE SERVICE
# [UNIT…]
disable_service() {
	update-rc.d "$2" disable
	DPKG_MAINTSCRIPT_PACKAGE=$1 \
		deb-systemd-helper disable "$2.service" "${@:3}"
} >/dev/null

# policy-rc.d is what Debian asks before it starts a service.
policy=/usr/sbin/policy-rc.d

forbid_services() {
	[ ! -e "$policy" ] || mv "$policy" "$policy.mail-seal-saved"
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

allow_services() {
	rm -f "$policy"
	[ ! -e "$policy.mail-seal-saved" ] ||
		mv "$policy.mail-seal-saved" "$policy"
}

# npm comes in a package of its own, or with some nodejs.
install_npm() {
	command -v npm >/dev/null || install_packages npm
}

# Roots of Debian, made once and kept: from the mirror that this system's apt uses.

# Its folder: NAME PACKAGES. A tree with another list has another root, so that
# they don't disturb each other.
root_folder() {
	printf '%s/%s-%s\n' "$cache" "$1" "$(package_list "$2" | cksum |
		cut -d ' ' -f 1)"
}

# As mmdebstrap reads them: by commas.
package_list() {
	local list
	# shellcheck disable=SC2086
	list=$(printf '%s,' $1)
	printf '%s' "${list%,}"
}

# Where apt gets this Debian from, as sources of another: CODENAME
root_sources() {
	# shellcheck disable=SC2016
	apt-get indextargets --format \
		'$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' \
		'Created-By: Packages' |
		awk -v old="$(. /etc/os-release && echo "$VERSION_CODENAME")" \
			-v new="$1" '
			$1 == "Debian" && $2 == "main" && index($3, old) == 1 {
				sub(old, new, $3)
				print "deb", $4, $3, "main"
			}' | sort -u
}

# What this system's apt was told about proxies and dates.
root_apt_options() {
	apt-config dump --format '%f "%v";%n' |
		grep -E '^Acquire::(https?::|Check-)[^ ]* "[^"]'
}

# CODENAME FOLDER PACKAGES
make_root() {
	local new=$2.new
	say "making a Debian root ($1) in $2"
	install_packages mmdebstrap debian-archive-keyring
	[ -n "$(root_sources "$1")" ] || apt update
	[ -n "$(root_sources "$1")" ] || die "apt has no Debian mirror configured"
	rm -rf "$new"
	root_apt_options >"$2.apt.conf"
	root_sources "$1" | mmdebstrap --variant=minbase --quiet \
		--aptopt="$2.apt.conf" --include="$(package_list "$3")" \
		"$1" "$new" - || die "mmdebstrap failed"
	package_list "$3" >"$new/etc/mail-seal-packages"
	rm -rf "$2"
	mv "$new" "$2"
}

# Several runs may share a root, one of them makes it. CODENAME FOLDER PACKAGES
have_root() (
	mkdir -p "$cache"
	exec 8>"$2.lock"
	flock 8
	[ "$(cat "$2/etc/mail-seal-packages" 2>/dev/null)" = \
		"$(package_list "$3")" ] || make_root "$@"
)

# Copy the files of the tree that git knows or would add, and no product of a
# build, to a folder. Without git, all that is there.
copy_tree() {
	mkdir -p "$1"
	(
		cd "$top" || exit
		if [ -e .git ] && type git >/dev/null 2>&1; then
			git -c safe.directory="$top" ls-files -z --cached \
				--others --exclude-standard |
				while IFS= read -r -d '' file; do
					[ ! -e "$file" ] ||
						printf '%s\0' "$file"
				done
		else
			find . -name .git -prune -o -type f -print0
		fi | tar -c --null -T - -f -
	) | tar -x -C "$1" -f -
}

# verdict RULE LINES: the rule holds if there are no lines. Leaves the worst in
# $status.
status=0
verdict() {
	if [ -z "$2" ]; then
		say "PASS $1"
	else
		say "FAIL $1"
		printf '%s\n' "$2" | sed 's/^/     /'
		status=1
	fi
}
