{{/* Names and labels. */}}

{{- define "imaging.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "imaging.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of everything. */}}
{{- define "imaging.labels" -}}
{{ include "imaging.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: imaging
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The image of a component: dict "root" $ "image" (its own tag and digest). */}}
{{- define "imaging.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := $image.repository -}}
{{- if $image.registry }}{{ $repository = printf "%s/%s" $image.registry $image.repository }}{{ end -}}
{{- $own := or .image.tag .image.digest -}}
{{- $digest := .image.digest | default (ternary "" $image.digest (not (empty $own))) -}}
{{- if $digest -}}
{{- printf "%s@%s" $repository $digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default $image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Names of the secrets that hold token, certificates, the database's password and the keys of the S3 server. */}}
{{- define "imaging.secret.token" -}}
{{ .Values.auth.existingSecret | default (printf "%s-token" (include "imaging.fullname" .)) }}
{{- end -}}
{{- define "imaging.secret.tls" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{ required "tls.existingSecret must name a secret with tls.crt, tls.key and ca.crt" .Values.tls.existingSecret }}
{{- else -}}
{{ include "imaging.fullname" . }}-tls
{{- end -}}
{{- end -}}
{{- define "imaging.secret.database" -}}
{{- if .Values.trial.postgresql.enabled -}}
{{ include "imaging.fullname" . }}-postgresql
{{- else -}}
{{ .Values.database.existingSecret }}
{{- end -}}
{{- end -}}
{{- define "imaging.secret.objectStore" -}}
{{- if .Values.trial.s3.enabled -}}
{{ include "imaging.fullname" . }}-s3
{{- else -}}
{{ required "objectStore.existingSecret must name the secret with the keys of the S3 server" .Values.objectStore.existingSecret }}
{{- end -}}
{{- end -}}

{{/* "true" if a job brings the tables up before the pods are replaced. */}}
{{- define "imaging.hasMigrationJob" -}}
{{- if and .Values.database.url .Values.database.migrationJob (not .Values.trial.postgresql.enabled) }}true{{ end -}}
{{- end -}}
