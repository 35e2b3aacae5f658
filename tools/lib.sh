# Shell functions shared by ./check, ./quickstart, bench/run and tools/*.
# Sourced by bash; the caller has set -euo pipefail.

# What tools/deps.sh installed is used, and not what else this machine has.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# free_port: print a port of 127.0.0.1 on which nobody listens.
free_port() {
	python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# wait_for_port PORT PID SECONDS: until PORT accepts connections; fails early
# if the process PID ends.
wait_for_port() {
	local end=$((SECONDS + $3))
	while ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		kill -0 "$2" 2>/dev/null || return 1
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# as_server_user COMMAND...: postgres refuses to run as root, so root runs the
# command as user postgres; everybody else runs it directly.
as_server_user() {
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u postgres -- env HOME="${server_home:-/var/lib/postgresql}" "$@"
	else
		"$@"
	fi
}

# copy_tree SOURCE TARGET: bring TARGET up to date with the sources in SOURCE
# and leave what was built in TARGET alone, so that the next build is a small
# one.  For root, TARGET then belongs to user postgres: a clone may lie where
# that user cannot read.
copy_tree() {
	mkdir -p "$2"
	rsync -a --delete --filter=':- .gitignore' --exclude=/.git "$1/" "$2/"
	if [ "$(id -u)" -eq 0 ]; then
		chown -R postgres: "$2"
	fi
}

# chosen_pg: the major version of the server that $PG_CONFIG belongs to, or
# else the newest that is installed as a package.
chosen_pg() {
	if [ -n "${PG_CONFIG:-}" ]; then
		"$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'
	else
		{ ls /usr/lib/postgresql 2>/dev/null || true; } | sort -n | tail -n 1
	fi
}
