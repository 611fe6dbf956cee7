# Sourced by benches/load, shapes and holds: what runs, and how it ends. Bash, set -euo pipefail.

say() { printf '== %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Stops unless the commands named exist; finds PostgreSQL's.
need() {
  local missing=() command
  postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn | head -n 1 || true)
  [ -n "$postgres_bin" ] || postgres_bin=$(dirname "$(command -v initdb || true)")
  [ -x "$postgres_bin/initdb" ] || missing+=(postgresql)
  for command in "$@"; do
    command -v "$command" >/dev/null || case $command in node) missing+=(nodejs) ;; *) missing+=("$command") ;; esac
  done
  [ "${#missing[@]}" = 0 ] || fail "these Debian packages are missing: apt-get install ${missing[*]}"
}

# Makes the folder $out (a temporary one if empty), and has everything ended and removed at the end.
begin() {
  keep=$out
  if [ -n "$out" ]; then mkdir -p "$out"; out=$(cd "$out" && pwd); else out=$(mktemp -d /tmp/candor-bench.XXXXXX); fi
  chmod 755 "$out"
  cluster=$(mktemp -d /tmp/candor-bench-postgres.XXXXXX)
  pids=()
  trap finish EXIT
  trap 'exit 130' INT TERM
}

finish() {
  local status=$? pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ -s "$cluster/data/postmaster.pid" ]; then
    kill -INT "$(head -n 1 "$cluster/data/postmaster.pid")" 2>/dev/null || true
    for _ in $(seq 100); do [ -e "$cluster/data/postmaster.pid" ] || break; sleep 0.1; done
  fi
  rm -rf "$cluster"
  [ -n "$keep" ] || rm -rf "$out"
  exit "$status"
}

# $candor and $floor: from the folder $bin, or built.
build() {
  if [ -n "$bin" ]; then
    candor=$bin/candor floor=$bin/floor
  else
    say "Building"
    executable() { node benches/load.mjs executable "$1" <"$out/build.json"; }
    cargo build --release --locked --bin candor --bench floor --message-format json >"$out/build.json"
    candor=$(executable candor) floor=$(executable floor)
  fi
}

# Starts a PostgreSQL of our own; $postgres is its URL without a database.
start_postgres() {
  local as=() port
  say "Starting PostgreSQL"
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || useradd --system --home-dir "$cluster" postgres
    chown postgres "$cluster"
    as=(runuser -u postgres --)
  fi
  ( cd "$cluster" && "${as[@]}" "$postgres_bin/initdb" -D data -U candor -A trust -E UTF8 --locale=C.UTF-8 >initdb.log )
  postgres=
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    # As durable as SQLite with synchronous=FULL: every commit reaches the disk.
    if ( cd "$cluster" && "${as[@]}" "$postgres_bin/pg_ctl" -D "$cluster/data" -w -t 60 -l "$cluster/log" start -o \
      "-p $port -k $cluster -c listen_addresses=127.0.0.1 -c shared_buffers=128MB" >/dev/null ); then
      postgres=postgres://candor@127.0.0.1:$port
      break
    fi
  done
  [ -n "$postgres" ] || fail "PostgreSQL did not start"
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

# Runs Candor on database $1.
candor_on() { local url=$1; shift; CANDOR_DATABASE_URL=$url CANDOR_LOG=warn "$candor" "$@"; }

# Imports $2 into database $1; what it printed is in $out/import.txt.
import_of() {
  local status=0
  candor_on "$1" import "$2" >"$out/import.txt" 2>"$out/import.err" || status=$?
  # 2: some entries were refused, and named.
  [ "$status" = 0 ] || [ "$status" = 2 ] || { cat "$out/import.err" >&2; fail "the import failed"; }
}

median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Starts a server named $1 on database $2 and port $3; says how long it took to answer.
start() {
  local name=$1 url=$2 port=$3 log=${4:-info} began
  began=$(date +%s%N)
  CANDOR_DATABASE_URL=$url CANDOR_BIND=127.0.0.1:$port CANDOR_LOG=$log "$candor" serve >"$out/$name.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 1000); do
    if curl -sf -o "$out/ready" "http://127.0.0.1:$port/health/ready"; then
      echo $((($(date +%s%N) - began) / 1000000)) >"$out/$name.start"
      awk '/VmRSS/ { print $2 }' "/proc/${pids[-1]}/status" >"$out/$name.idle"
      echo "${pids[-1]}" >"$out/$name.pid"
      return
    fi
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.01
  done
  cat "$out/$name.log" >&2
  fail "Candor on $1 did not start"
}

# Clients, an account of patient $3 and tokens on a server $1 of database $2 (started, its address in
# $out/$1.url): $out/$1.token of a system, $out/$1.app-token of the patient's app.
register() {
  candor_on "$2" client add --name load --type backend --jwks "$out/jwks.json" --scope 'system/*.cruds' --client-id load >/dev/null
  candor_on "$2" client add --name app --type public --redirect-uri http://127.0.0.1/done --client-id app \
    --scope 'launch/patient patient/*.rs' >/dev/null
  echo 'a long walk by the sea' | candor_on "$2" user add --username pat --role patient --patient "$3" >/dev/null
}
tokens() {
  node benches/load.mjs backend "$(cat "$out/$1.url")" load "$out/key.pem" 'system/*.cruds' >"$out/$1.token"
  node benches/load.mjs patient "$(cat "$out/$1.url")" app pat 'a long walk by the sea' \
    'launch/patient patient/*.rs' >"$out/$1.app-token"
}

# One turn of $seconds with 16 connections: requests/s, p50 and p99 in ms, failures, bytes of an answer.
# $1 the server, $2 a file of paths, $3 a token.
turn() {
  wrk -t1 -c16 "-d${seconds}s" -s "$out/turn.lua" "$1" -- "$2" "$3" | sed -n 's/^RESULT //p'
}
write_turn() {
  cat >"$out/turn.lua" <<'LUA'
local requests, turn = {}, 0
init = function(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path, { ["Host"] = "127.0.0.1", ["Authorization"] = "Bearer " .. args[2] })
  end
end
request = function() turn = turn % #requests + 1; return requests[turn] end
done = function(summary, latency)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %.0f %.2f %.2f %d %.0f\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, wrong, summary.bytes / summary.requests))
end
LUA
}
