#!/bin/sh
# The secrets of this host into .env; what is there already stays.
set -eu
umask 077
touch .env
for name in IMAGING_TOKEN POSTGRES_PASSWORD S3_ACCESS_KEY S3_SECRET_KEY GRAFANA_PASSWORD; do
    grep -q "^$name=" .env || printf '%s=%s\n' "$name" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >> .env
done
