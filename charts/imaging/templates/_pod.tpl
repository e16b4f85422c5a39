{{/* What all pods of the image have in common: dict "root" $ "name" component. */}}

{{- define "imaging.otelEnv" -}}
{{- with .Values.telemetry.otlp }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_EXPORTER_OTLP_INSECURE, value: {{ .insecure | quote }}}
{{- if .metrics }}
- {name: OTEL_METRICS_EXPORTER, value: otlp}
{{- end }}
{{- if .logs }}
- {name: OTEL_LOGS_EXPORTER, value: otlp}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "imaging.mounts" -}}
- {name: config, mountPath: /etc/imaging/config, readOnly: true}
- {name: temporary, mountPath: /tmp}
{{- if ne .name "migrate" }}
- {name: token, mountPath: /etc/imaging/token, readOnly: true}
{{- end }}
{{- if and (include "imaging.hasTLS" .root) (ne .name "migrate") }}
- {name: tls, mountPath: /etc/imaging/tls, readOnly: true}
{{- end }}
{{- if and .root.Values.recipes (ne .name "migrate") }}
- {name: recipes, mountPath: /etc/imaging/recipes, readOnly: true}
{{- end }}
{{- if and (has .name (fromYamlArray (include "imaging.usesDatabase" .root))) (include "imaging.databaseURL" .root) }}
{{- if include "imaging.secret.database" .root }}
- {name: database, mountPath: /etc/imaging/database, readOnly: true}
{{- end }}
{{- if .root.Values.database.caSecret }}
- {name: database-ca, mountPath: /etc/imaging/database-ca, readOnly: true}
{{- end }}
{{- end }}
{{- if and (has .name (fromYamlArray (include "imaging.usesObjectStore" .root))) (include "imaging.objectStoreEndpoint" .root) }}
- {name: s3, mountPath: /etc/imaging/s3, readOnly: true}
{{- if .root.Values.objectStore.caSecret }}
- {name: s3-ca, mountPath: /etc/imaging/s3-ca, readOnly: true}
{{- end }}
{{- end }}
{{- range $file, $from := .root.Values.files }}
{{- if has $.name $from.components }}
- {name: file-{{ $file }}, mountPath: /etc/imaging/files/{{ $file }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "imaging.volumes" -}}
{{- $full := include "imaging.fullname" .root -}}
- name: config
  configMap: {name: {{ .config | default (printf "%s-config" $full) }}}
- name: temporary
  emptyDir: {sizeLimit: {{ .temporarySize | default "2Gi" }}}
{{- if ne .name "migrate" }}
- name: token
  secret:
    secretName: {{ include "imaging.secret.token" .root }}
    defaultMode: 0440
    items: [{key: {{ .root.Values.auth.secretKey }}, path: token}]
{{- end }}
{{- if and (include "imaging.hasTLS" .root) (ne .name "migrate") }}
- name: tls
  secret: {secretName: {{ include "imaging.secret.tls" .root }}, defaultMode: 0440}
{{- end }}
{{- if and .root.Values.recipes (ne .name "migrate") }}
- name: recipes
  configMap: {name: {{ $full }}-recipes}
{{- end }}
{{- if and (has .name (fromYamlArray (include "imaging.usesDatabase" .root))) (include "imaging.databaseURL" .root) }}
{{- if include "imaging.secret.database" .root }}
- name: database
  secret:
    secretName: {{ include "imaging.secret.database" .root }}
    defaultMode: 0440
    items: [{key: {{ .root.Values.database.secretKey }}, path: password}]
{{- end }}
{{- if .root.Values.database.caSecret }}
- name: database-ca
  secret:
    secretName: {{ .root.Values.database.caSecret }}
    items: [{key: {{ .root.Values.database.caKey }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- if and (has .name (fromYamlArray (include "imaging.usesObjectStore" .root))) (include "imaging.objectStoreEndpoint" .root) }}
- name: s3
  secret:
    secretName: {{ include "imaging.secret.objectStore" .root }}
    defaultMode: 0440
    items:
      - {key: {{ .root.Values.objectStore.accessKeyKey }}, path: access-key}
      - {key: {{ .root.Values.objectStore.secretKeyKey }}, path: secret-key}
{{- if .root.Values.objectStore.caSecret }}
- name: s3-ca
  secret:
    secretName: {{ .root.Values.objectStore.caSecret }}
    items: [{key: {{ .root.Values.objectStore.caKey }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- range $file, $from := .root.Values.files }}
{{- if has $.name $from.components }}
- name: file-{{ $file }}
  {{- with $from.secret }}
  secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
  {{- with $from.configMap }}
  configMap: {name: {{ . }}}
  {{- end }}
  {{- with $from.claim }}
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
