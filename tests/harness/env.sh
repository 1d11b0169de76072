# Read by every script of the harness. What may be set from outside:
#   RIVERRUN_LAB  where everything lives that the harness makes (default: .lab in the checkout)
#   INSTANCE      which set of servers is meant (default: test); each has its own data, ports and logs
#   PG_BIN, JAVA  other programs than Debian's
#   PG_MAJOR      PostgreSQL of this version, one of $PG_MAJORS, instead of the distribution's
set -euo pipefail
HARNESS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HARNESS/../.." && pwd)
LAB=${RIVERRUN_LAB:-$ROOT/.lab}
INSTANCE=${INSTANCE:-test}
STATE=$LAB/$INSTANCE
JAVA=${JAVA:-java}
JARS=$LAB/java
mkdir -p "$STATE/log" "$STATE/run"

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

# PostgreSQL refuses to run as root, so root hands it to the user the package made.
as_postgres() { if is_root; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }

# A directory of the lab that the database's user can reach: a checkout under /root is closed to it.
reachable() {
  local dir=$1
  if is_root && id postgres >/dev/null 2>&1 && ! as_postgres test -x "$(dirname "$dir")"; then
    dir=/var/tmp/riverrun-$(cksum <<<"$(dirname "$dir")" | cut -d' ' -f1)/$(basename "$dir")
  fi
  printf '%s\n' "$dir"
}

# Beside the distribution's PostgreSQL, those that the connector is tested with.
PG_MAJORS='14 16 17 18'
# Which of them has pgvector.
VECTOR_MAJOR=16
pg_software() { reachable "$LAB/postgres"; }

# The programs of PG_MAJOR; else of the PostgreSQL the tests are recorded with, else of the newest there is.
find_pg_bin() {
  [ -n "${PG_BIN:-}" ] && return 0
  local candidate
  if [ -n "${PG_MAJOR:-}" ]; then
    PG_BIN=$(pg_software)/$PG_MAJOR/bin
    [ -x "$PG_BIN/postgres" ] || { PG_BIN=; return 1; }
    return 0
  fi
  for candidate in /usr/lib/postgresql/15/bin $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
    [ -x "$candidate/postgres" ] && { PG_BIN=$candidate; return 0; }
  done
  return 1
}

pg_data() { reachable "$STATE/pg"; }

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port NAME FIRST: the port this instance had last time if it is still free, else the first free one from FIRST on.
port() {
  local file=$STATE/run/$1.port port=$2
  [ -s "$file" ] && port=$(cat "$file")
  while listening "$port"; do port=$((port + 10)); done
  printf '%s\n' "$port" | tee "$file"
}

# alive PID: a process that has ended but that nobody has asked about yet (a zombie) is not, once the last of its
# threads has let go of its ports.
alive() {
  local stat threads
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  threads=("/proc/$1/task/"*)
  [[ ${stat##*) } != [ZX]* || ${#threads[@]} -gt 1 ]]
}

running() { [ -s "$1" ] && alive "$(cat "$1")"; }

# stop_process PIDFILE NAME: ends it, by force after 30 seconds.
stop_process() {
  local file=$1 name=$2 pid tries
  if ! running "$file"; then rm -f "$file"; say "$name: not running"; return 0; fi
  pid=$(cat "$file")
  kill "$pid"
  for ((tries = 0; tries < 300; tries++)); do
    alive "$pid" || { rm -f "$file"; say "$name: stopped"; return 0; }
    sleep 0.1
  done
  kill -9 "$pid"
  rm -f "$file"
  say "$name: killed"
}

# wait_for SECONDS PIDFILE LOG COMMAND...: until the command succeeds; shows the log when the process ends before.
wait_for() {
  local seconds=$1 file=$2 log=$3 tries
  shift 3
  for ((tries = 0; tries < seconds * 10; tries++)); do
    "$@" >/dev/null 2>&1 && return 0
    running "$file" || { tail -n 30 "$log" >&2; rm -f "$file"; die "the server ended while starting; its log is $log"; }
    sleep 0.1
  done
  die "the server does not answer after $seconds s; its log is $log"
}
