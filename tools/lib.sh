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

# program_of PID: the name of the program that runs as this process; nothing
# when there is none, or it has ended.  (No ps: it is not on every machine.)
program_of() {
	sed -n 's/^[0-9]* (\(.*\)) [^XZ] .*/\1/p' "/proc/$1/stat" 2>/dev/null || true
}

# children_of PID: print the ids of a process's children.
children_of() {
	local stat
	for stat in /proc/[0-9]*/stat; do
		# the name before the parent's id may have blanks and parentheses in it
		sed -n "s/^\([0-9]*\) (.*) [A-Za-z] $1 .*/\1/p" "$stat" 2>/dev/null || true
	done
}

# end_tree PID: end a process, what it has started, and wait until it has gone.
end_tree() {
	local child children
	children=$(children_of "$1")
	kill "$1" 2>/dev/null || true
	for child in $children; do
		end_tree "$child"
	done
	while [ -n "$(program_of "$1")" ]; do sleep 0.05; done
}

# can_be_built_in FOLDER: make takes a path apart at blanks and the like.
can_be_built_in() {
	case $1 in
		*[!A-Za-z0-9/._+@,-]*) return 1 ;;
	esac
}

# is_ours FOLDER: it is one that claim_folder has made.
is_ours() {
	[ -f "$1/.modal_batch" ] || grep -qs '^local_port=' "$1/env"
}

# claim_folder FOLDER MODE: make it for a cluster that may be removed whole; not one
# with other files in it.
claim_folder() {
	mkdir -p -m "$2" "$1"
	is_ours "$1" || [ -z "$(ls -A "$1")" ] ||
		die "the folder \"$1\" has other files in it; choose a new one with --dir"
	touch "$1/.modal_batch"
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
