#!/bin/sh
# Search studies by grpcurl: sh examples/search.sh 127.0.0.1:50059 'PHAN*'
# The servers tell their contracts by reflection. With TLS: -cacert FILE instead of -plaintext; with a token: -H "Authorization: Bearer …".
exec grpcurl -plaintext -d "{\"keys\": [{\"keyword\": \"PatientName\", \"value\": \"$2\"}], \"page_size\": 10}" \
  "$1" imaging.storage.v1.StorageService/SearchStudies
