#!/usr/bin/env bash
# Tradewind beside its peers on this machine, over loopback: who spends how much on a query.
#
#   benches/peers.sh --rt --write             the whole table, in a quarter of an hour after the builds; --write puts
#                                             it into docs/performance.md, --rt needs root and a machine to itself
#   benches/peers.sh --rounds 1 --secs 0.2 --workloads w1,w3 gdnsd
#
# Builds Tradewind and the load generator, makes the data (fixed seeds), fetches a City database once (out of a
# package on PyPI), starts the peers on loopback, checks their answers, loads them in interleaved windows and
# prints a table and, last, whether Tradewind reached what it must: exit 1 if it missed anything (after --write).
# The peers are Debian packages: gdnsd knot knot-module-geoip nsd pdns-server pdns-backend-bind pdns-backend-geoip,
# and bind9 if asked for; keep their services from starting (a policy-rc.d that exits 101) before installing them.
# Scratch space, about 1.5 GB: $BENCH_TMP. Options and what the columns mean: benches/peers/README.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
here=$top/benches/peers
scratch=${BENCH_TMP:-${TMPDIR:-/tmp}/tradewind-peers}
takes=' --workloads --rounds --seldom --loads --secs --warmup --rate --inflight --sockets --threads --nice --port --base --out '

mkdir -p "$scratch"
command="benches/peers.sh $*"
if [ -z "${TRADEWIND:-}" ]; then
  # Builds the server too, with the same settings.
  cargo bench --quiet --no-run --bench stream --manifest-path "$top/Cargo.toml"
  TRADEWIND=${CARGO_TARGET_DIR:-$top/target}/release/tradewind
fi
if [ -z "${VERDICTS:-}" ]; then
  # Cargo alone knows what it calls it.
  VERDICTS=$(cargo bench --quiet --no-run --bench verdicts --message-format json --manifest-path "$top/Cargo.toml" |
    sed -n '/"name":"verdicts"/s/.*"executable":"\([^"]*\)".*/\1/p')
fi
: "${VERDICTS:?cargo named no program of benches/verdicts.rs}"
export TRADEWIND VERDICTS
CARGO_TARGET_DIR=$scratch/target cargo build --release --quiet --manifest-path "$here/blast/Cargo.toml"
[ "$scratch/data/neutral.json" -nt "$here/gen.py" ] || python3 "$here/gen.py" "$scratch/data"

python=python3
if ! python3 -c 'import maxminddb' 2>/dev/null; then
  [ -d "$scratch/venv" ] || python3 -m venv "$scratch/venv"
  python=$scratch/venv/bin/python
  "$python" -m pip install -q maxminddb
fi
if [ ! -f "$scratch/data/geo.mmdb" ]; then
  # GeoLite2-City of 2018, which every peer here can read.
  mkdir -p "$scratch/mmdb"
  (cd "$scratch/mmdb" && "$python" -m pip download -q --no-deps --no-binary :all: maxminddb-geolite2==2018.703 &&
    tar xzf maxminddb-geolite2-*.tar.gz)
  cp "$scratch"/mmdb/*/_maxminddb_geolite2/GeoLite2-City.mmdb "$scratch/data/geo.mmdb"
fi

peers=() options=() write='' out=$scratch/out.json
while [ $# -gt 0 ]; do
  case $1 in
    --write) write=1 ;;
    --out) out=$2 && shift ;;
    --*)
      options+=("$1")
      if [[ $takes == *" $1 "* ]]; then options+=("$2") && shift; fi
      ;;
    *) peers+=("$1") ;;
  esac
  shift
done
if [ ${#peers[@]} = 0 ]; then
  for peer in gdnsd:gdnsd knot:knotd nsd:nsd pdns:pdns_server; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${peer#*:}" >/dev/null && peers+=("${peer%%:*}")
  done
fi
env PATH="$PATH:/usr/sbin:/sbin" "$python" "$here/harness.py" --data "$scratch/data" --bin "$scratch/target/release" \
  --work "$scratch/work" --out "$out" "${options[@]}" echo "${peers[@]}" tradewind tradewind-shipped
cargo bench --quiet --bench stream --manifest-path "$top/Cargo.toml" | tee "$scratch/stream.txt"
[ -z "$write" ] || "$python" "$here/write.py" "$top/docs/performance.md" "$out.summary.json" "$scratch/stream.txt" "$command"
"$python" "$here/verdict.py" "$out.summary.json" "$scratch/stream.txt"
