#!/usr/bin/env bash
# Tradewind beside its peers on this machine, over loopback: who spends how much on a query.
#
#   benches/peers.sh                          every peer that is installed, every workload
#   benches/peers.sh --rt --aba --no-fix --rounds 15 --secs 0.5 echo gdnsd
#
# Builds Tradewind and the load generator, makes the data (fixed seeds), fetches a City database once (out of a
# package on PyPI), starts the peers on loopback, checks their answers, loads them in interleaved windows and
# prints a table. The peers are Debian packages: gdnsd knot knot-module-geoip nsd pdns-server pdns-backend-bind
# pdns-backend-geoip bind9; keep their services from starting (a policy-rc.d that exits 101) before installing
# them. Scratch space, about 200 MB: $BENCH_TMP. Options and what the columns mean: benches/peers/README.md.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
here=$top/benches/peers
scratch=${BENCH_TMP:-${TMPDIR:-/tmp}/tradewind-peers}
takes=' --workloads --rounds --secs --warmup --rate --inflight --sockets --threads --nice --port --base --out '

mkdir -p "$scratch"
if [ -z "${TRADEWIND:-}" ]; then
  cargo build --release --quiet --manifest-path "$top/Cargo.toml"
  TRADEWIND=${CARGO_TARGET_DIR:-$top/target}/release/tradewind
fi
export TRADEWIND
CARGO_TARGET_DIR=$scratch/target cargo build --release --quiet --manifest-path "$here/blast/Cargo.toml"
[ -f "$scratch/data/neutral.json" ] || python3 "$here/gen.py" "$scratch/data"

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

peers=() options=()
while [ $# -gt 0 ]; do
  case $1 in
    --*)
      options+=("$1")
      if [[ $takes == *" $1 "* ]]; then options+=("$2") && shift; fi
      ;;
    *) peers+=("$1") ;;
  esac
  shift
done
if [ ${#peers[@]} = 0 ]; then
  peers=(echo)
  for peer in gdnsd:gdnsd knot:knotd nsd:nsd pdns:pdns_server bind:named; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${peer#*:}" >/dev/null && peers+=("${peer%%:*}")
  done
fi
peers+=(tradewind)
exec env PATH="$PATH:/usr/sbin:/sbin" "$python" "$here/harness.py" --data "$scratch/data" \
  --bin "$scratch/target/release" --work "$scratch/work" "${options[@]}" "${peers[@]}"
