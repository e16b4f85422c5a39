{{/* What the components are, whom they call and what they keep: the one place that the loops read. */}}

{{/* In the order of their ports; the same as SERVICE_NAMES of the settings. */}}
{{- define "imaging.order" -}}
[storage, processing, analysis, reporting, pipeline, gateway]
{{- end -}}

{{/* Whom each component calls: the edges that traces show, and the only ones that the network policies allow. */}}
{{- define "imaging.calls" -}}
storage: []
processing: [storage]
analysis: [storage]
reporting: [storage, analysis]
pipeline: [storage, processing, analysis, reporting, gateway]
gateway: [storage, processing, analysis, reporting, pipeline]
migrate: []
test: [storage, analysis, reporting, pipeline]
{{- end -}}

{{/* Who has tables in the database, and who objects. */}}
{{- define "imaging.usesDatabase" -}}
[storage, analysis, reporting, pipeline, gateway, migrate]
{{- end -}}
{{- define "imaging.usesObjectStore" -}}
[storage]
{{- end -}}

{{/* The values of a component over the defaults, as YAML: dict "root" $ "name" "storage". */}}
{{- define "imaging.component" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (get .root.Values.components .name | default dict)) | toYaml -}}
{{- end -}}

{{/* Ports of a component: dict "name". */}}
{{- define "imaging.ports" -}}
{{- range $index, $name := fromYamlArray (include "imaging.order" $) -}}
{{- if eq $name $.name }}
calls: {{ add 50051 $index }}
{{- if eq $name "gateway" }}
http: 50057
dimse: 50058
dimseTLS: 50060
{{- end }}
health: {{ add 50081 $index }}
metrics: {{ add 9464 $index }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The database and the S3 server, whoever runs them; empty without. */}}
{{- define "imaging.databaseURL" -}}
{{- if .Values.trial.postgresql.enabled -}}
postgresql://imaging@{{ include "imaging.fullname" . }}-postgresql:5432/imaging
{{- else -}}
{{ .Values.database.url }}
{{- end -}}
{{- end -}}
{{- define "imaging.objectStoreEndpoint" -}}
{{- if .Values.trial.s3.enabled -}}
{{ include "imaging.fullname" . }}-s3:8333
{{- else -}}
{{ .Values.objectStore.endpoint }}
{{- end -}}
{{- end -}}

{{/* "true" if the component keeps something on a volume of its own: dict "root" $ "name". */}}
{{- define "imaging.isStateful" -}}
{{- $database := include "imaging.databaseURL" .root -}}
{{- $objects := include "imaging.objectStoreEndpoint" .root -}}
{{- $hasTables := has .name (fromYamlArray (include "imaging.usesDatabase" .root)) -}}
{{- $hasObjects := has .name (fromYamlArray (include "imaging.usesObjectStore" .root)) -}}
{{- if or (and $hasTables (not $database)) (and $hasObjects (not $objects)) }}true{{ end -}}
{{- end -}}

{{/* "true" if TLS is on. */}}
{{- define "imaging.hasTLS" -}}
{{- if ne .Values.tls.mode "none" }}true{{ end -}}
{{- end -}}

{{/* Every host name that the certificate must hold, as a YAML list. */}}
{{- define "imaging.hostnames" -}}
{{- $full := include "imaging.fullname" . -}}
{{- $names := list "localhost" -}}
{{- range concat (fromYamlArray (include "imaging.order" .)) (list "postgresql" "s3") -}}
{{- $host := printf "%s-%s" $full . -}}
{{- $names = concat $names (list $host (printf "%s.%s" $host $.Release.Namespace) (printf "%s.%s.svc" $host $.Release.Namespace)) -}}
{{- end -}}
{{- with .Values.ingress.host }}{{ $names = append $names . }}{{ end -}}
{{- range .Values.gatewayAPI.hostnames }}{{ $names = append $names . }}{{ end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* The settings file of all services. */}}
{{- define "imaging.config" -}}
{{- $full := include "imaging.fullname" . -}}
{{- $settings := deepCopy .Values.settings -}}
{{- $own := dict -}}
{{- range $name := fromYamlArray (include "imaging.order" .) -}}
{{- $ports := fromYaml (include "imaging.ports" (dict "name" $name)) -}}
{{- $_ := set $own $name (dict "address" (printf "%s-%s:%d" $full $name (int $ports.calls))) -}}
{{- end -}}
{{- $hosts := concat (fromYamlArray (include "imaging.hostnames" .)) .Values.web.hosts -}}
{{- $_ := set $own "gateway" (mustMerge $own.gateway (dict "http_address" (printf "%s-gateway:50057" $full) "dimse_address" (printf "%s-gateway:50058" $full) "http_hosts" $hosts)) -}}
{{- if .Values.dimse.tls.enabled -}}
{{- $_ := set $own.gateway "dimse_tls_address" (printf "%s-gateway:50060" $full) -}}
{{- end -}}
{{- if .Values.dimse.enabled -}}
{{- /* Most modalities speak no TLS; who may connect is the network policy's, who may ask for what that of gateway.peers. */ -}}
{{- $_ := set $own.gateway "dimse_plain_text" true -}}
{{- end -}}
{{- if .Values.recipes -}}
{{- $_ := set $own.pipeline "recipes_dir" "/etc/imaging/recipes" -}}
{{- end -}}
{{- if include "imaging.hasTLS" . -}}
{{- $_ := set $own "security" (dict "certificate_file" "/etc/imaging/tls/tls.crt" "key_file" "/etc/imaging/tls/tls.key" "ca_file" "/etc/imaging/tls/ca.crt") -}}
{{- else -}}
{{- $_ := set $own "security" (dict "insecure" true) -}}
{{- end -}}
{{- $_ := set $own.security "token_file" "/etc/imaging/token/token" -}}
{{- with include "imaging.databaseURL" . -}}
{{- $database := dict "url" . -}}
{{- if include "imaging.secret.database" $ }}{{ $_ := set $database "password_file" "/etc/imaging/database/password" }}{{ end -}}
{{- if $.Values.database.caSecret }}{{ $_ := set $database "ca_file" "/etc/imaging/database-ca/ca.crt" }}{{ end -}}
{{- if include "imaging.hasMigrationJob" $ }}{{ $_ := set $database "migrate_at_start" false }}{{ end -}}
{{- if and $.Values.trial.postgresql.enabled (include "imaging.hasTLS" $) }}{{ $_ := set $database "ca_file" "/etc/imaging/tls/ca.crt" }}{{ end -}}
{{- $_ := set $own "database" $database -}}
{{- end -}}
{{- with include "imaging.objectStoreEndpoint" . -}}
{{- $storage := $own.storage -}}
{{- $_ := set $storage "s3_endpoint" . -}}
{{- $_ := set $storage "s3_bucket" (ternary "imaging" $.Values.objectStore.bucket $.Values.trial.s3.enabled) -}}
{{- $_ := set $storage "s3_secure" (ternary (eq (include "imaging.hasTLS" $) "true") $.Values.objectStore.secure $.Values.trial.s3.enabled) -}}
{{- $_ := set $storage "s3_region" $.Values.objectStore.region -}}
{{- with $.Values.objectStore.sse }}{{ $_ := set $storage "s3_sse" . }}{{ end -}}
{{- $_ := set $storage "s3_access_key_file" "/etc/imaging/s3/access-key" -}}
{{- $_ := set $storage "s3_secret_key_file" "/etc/imaging/s3/secret-key" -}}
{{- if $.Values.objectStore.caSecret }}{{ $_ := set $storage "s3_ca_file" "/etc/imaging/s3-ca/ca.crt" }}{{ end -}}
{{- if and $.Values.trial.s3.enabled (include "imaging.hasTLS" $) }}{{ $_ := set $storage "s3_ca_file" "/etc/imaging/tls/ca.crt" }}{{ end -}}
{{- end -}}
{{- $_ := set $own "telemetry" (dict "log_level" .Values.telemetry.logLevel "health_address" "0.0.0.0:50081") -}}
{{- if .Values.telemetry.metrics.enabled }}{{ $_ := set $own.telemetry "metrics_address" "0.0.0.0:9464" }}{{ end -}}
{{- mustMergeOverwrite $settings $own | toToml -}}
{{- end -}}
