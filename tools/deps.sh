#!/bin/bash
# Install the Debian packages that parts of the project need.
#
# usage: tools/deps.sh [--pg VERSION] GROUP...
#
#   run      a server, the libraries, and what modal-local runs with
#   build    compilers' input: headers, protoc, PGXS
#   test     what ./check needs beyond these
#   bench    what bench/run compares with
#   js       Node, for the tests with Modal's JavaScript SDK
#   static   linters
#   package      what builds roots and containers for tools/check-package
#   sanitize     what tools/assert-pg builds a server with
#   valgrind
#   monitoring  Prometheus and its exporter for PostgreSQL
#   console  a browser, and what makes a site of docs/
#   clients  drivers of docs/applications.md, and PgBouncer
#
# What is installed already is left alone, and with nothing missing no root
# rights are needed.  No system cluster is made or started: the servers that
# the project's commands use are private copies.
set -euo pipefail

pg=
if [ "${1:-}" = --pg ]; then
	pg=$2
	shift 2
fi

die() {
	echo "deps: $*" >&2
	exit 1
}

if [ $# -eq 0 ]; then
	die "usage: deps.sh [--pg VERSION] run|build|test|bench|js|static|package|sanitize|valgrind|clients|monitoring|console ..."
fi
command -v apt-get >/dev/null ||
	die "only Debian and its relatives are supported; install what this file lists by hand"

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "packages are missing (${missing[*]}); run as root once, or install sudo"
	fi
}

# The version of Debian's own server package, e.g. 15.
default_pg() {
	{ apt-cache show postgresql 2>/dev/null || true; } |
		sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | sort -n | tail -n 1
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# apt's chatter matters only when it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" \
		>"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "apt-get $1 failed"
	}
}

updated=
update_once() {
	if [ -z "$updated" ]; then
		apt update
		updated=yes
	fi
}

missing=(postgresql)
if [ -z "$pg" ]; then
	pg=$({ ls /usr/lib/postgresql 2>/dev/null || true; } | sort -n | tail -n 1)
fi
if [ -z "$pg" ]; then
	pg=$(default_pg)
	if [ -z "$pg" ]; then
		update_once
		pg=$(default_pg)
	fi
fi
[ -n "$pg" ] || die "no PostgreSQL package found"

packages=()
moto=(python3-moto python3-flask python3-flask-cors)
for group in "$@"; do
	case $group in
		run)
			packages+=("postgresql-$pg" python3 python3-cbor2 openssl rsync)
			;;
		build)
			packages+=(gcc make libc6-dev pkg-config "postgresql-server-dev-$pg"
				libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler
				libcbor-dev libjson-c-dev zlib1g-dev libssl-dev libnghttp2-dev)
			;;
		test)
			packages+=(perl libipc-run-perl clang llvm curl procps nginx
				protobuf-compiler python3-protobuf python3-h2
				python3-botocore python3-jwt python3-cryptography)
			case $(. /etc/os-release && echo "$VERSION_CODENAME") in
				# has the runtime of sanitizers in clang's own package
				jammy) ;;
				# servers of APIs that tests call, where Debian has them
				trixie) packages+=(libclang-rt-dev "${moto[@]}") ;;
				forky | sid) packages+=(libclang-rt-dev "${moto[@]}" llama.cpp python3-gguf) ;;
				*) packages+=(libclang-rt-dev) ;;
			esac
			# for docs/pgvector.md, where Debian has it
			case $pg in 17 | 18) packages+=("postgresql-$pg-pgvector") ;; esac
			;;
		bench)
			packages+=(nginx libnginx-mod-http-echo wrk)
			;;
		js)
			# Node comes with npm from some sources and without from others.
			command -v npm >/dev/null || packages+=(nodejs npm)
			;;
		static)
			packages+=(clang clang-tidy cppcheck)
			;;
		monitoring)
			packages+=(prometheus prometheus-postgres-exporter)
			;;
		console)
			packages+=(chromium fonts-dejavu-core mkdocs)
			;;
		clients)
			packages+=(python3-psycopg python3-psycopg2 python3-sqlalchemy python3-django
				default-jdk-headless libpostgresql-jdbc-java
				golang-go golang-github-jackc-pgx-v4-dev pgbouncer)
			;;
		package)
			packages+=(debootstrap buildah)
			;;
		sanitize)
			packages+=(bison flex liblz4-dev libicu-dev libxml2-dev libasan8 libubsan1)
			;;
		valgrind)
			packages+=(valgrind libc6-dbg)
			;;
		*)
			die "unknown group \"$group\""
			;;
	esac
done

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps: installing ${missing[*]}" >&2
update_once

# Keep the server package from making a system cluster, this once.
no_cluster=/etc/postgresql-common/createcluster.d/modal_batch_install.conf
trap 'as_root rm -f "$no_cluster"; rm -f "$log"' EXIT
as_root mkdir -p "$(dirname "$no_cluster")"
echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null

# nginx is for tests, which start their own: it stays off, now and after boot.
policy=
if [[ " ${missing[*]} " = *" nginx "* ]] && [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
fi
trap 'as_root rm -f "$no_cluster" $policy; rm -f "$log"' EXIT

apt install --no-install-recommends "${missing[@]}"
if [ -n "$policy" ] && command -v systemctl >/dev/null; then
	as_root systemctl --quiet disable nginx >/dev/null 2>&1 || true
fi
