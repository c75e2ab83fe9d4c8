#!/usr/bin/env bash
# Installs and starts a Docker engine on a bare Debian machine, as root, where no engine answers yet,
# and makes a base image from Debian's own packages: for machines that reach no container registry.
# Prints the two variables that put that base in the place of ours; use: eval "$(ci/docker-engine.sh)"
set -euo pipefail
exec 3>&1 1>&2  # what packages say goes to the terminal

SUITE=${SUITE:-bookworm}
BASE=trainbox-base:$SUITE
LOG=${LOG:-/var/log/dockerd.log}
export PATH=/usr/bin:$PATH DEBIAN_FRONTEND=noninteractive

needed=(docker.io iptables mmdebstrap docker-registry)  # the last: tests push to one of their own
if ! dpkg-query --show "${needed[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${needed[@]}" ca-certificates
fi

if ! docker info >/dev/null 2>&1; then
  # Without 3>&- the daemon would hold the caller's $(…) open for as long as it lives.
  setsid dockerd >>"$LOG" 2>&1 3>&- </dev/null &
  for _ in {1..60}; do docker info >/dev/null 2>&1 && break; sleep 0.5; done
  docker info >/dev/null || { tail -n 20 "$LOG"; exit 1; }
fi

if ! docker image inspect "$BASE" >/dev/null 2>&1; then
  echo "making $BASE from Debian packages (about 30 s)"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv "$SUITE" - |
    docker import - "$BASE"
fi

python=$(docker run --rm "$BASE" python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
printf 'export TRAINBOX_BASE_IMAGE=%s TRAINBOX_BASE_PYTHON=%s\n' "$BASE" "$python" >&3
