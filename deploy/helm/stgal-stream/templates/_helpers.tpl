{{- define "stgal.name" -}}
{{- $whole := printf "%s-%s" .Release.Name .Chart.Name }}
{{- ternary .Release.Name $whole (contains .Chart.Name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "stgal.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stgal.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "stgal.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "stgal.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "stgal.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "stgal.releasesClaim" -}}
{{- .Values.releases.existingClaim | default (printf "%s-releases" (include "stgal.name" .)) }}
{{- end }}

{{/* The image of a part: its own, else that of all. */}}
{{- define "stgal.image" -}}
{{- $own := .part.image | default dict }}
{{- $all := .root.Values.image }}
{{- printf "%s:%s" ($own.repository | default $all.repository) ($own.tag | default $all.tag | default .root.Chart.AppVersion) | quote }}
{{- end }}

{{/* stgal.toml: a value in JSON is one in TOML, for the texts, numbers, truth values and lists that there are. */}}
{{- define "stgal.toml" -}}
{{- range $section, $keys := .Values.config }}
{{- if $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What all pods have in common. The daemon refuses variables STGAL_... that it does not know, and Kubernetes would
invent such for every Service (enableServiceLinks). */}}
{{- define "stgal.pod" -}}
serviceAccountName: {{ include "stgal.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .part.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .part.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "stgal.container" -}}
image: {{ include "stgal.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{ toJson .part.resources }}
{{- end }}

{{- define "stgal.env" -}}
- {name: STGAL_DAEMON_STATE_DIR, value: /var/lib/stgal/state}
- {name: STGAL_DAEMON_HTTP_HOST, value: 0.0.0.0}
- {name: STGAL_EMBED_RELEASES, value: /var/lib/stgal/releases}
{{- with .Values.kafka.securitySecret }}
{{- if .name }}
- name: STGAL_KAFKA_SECURITY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The user's home, for whatever a library keeps there, is emptied with the pod; so is /tmp. */}}
{{- define "stgal.mounts" -}}
- {name: config, mountPath: /etc/stgal/stgal.toml, subPath: stgal.toml, readOnly: true}
{{- if .Values.kafka.tlsSecret }}
- {name: tls, mountPath: /etc/stgal/tls, readOnly: true}
{{- end }}
- {name: home, mountPath: /var/lib/stgal}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "stgal.volumes" -}}
- name: config
  configMap: {name: {{ include "stgal.name" . }}}
{{- if .Values.kafka.tlsSecret }}
- name: tls
  secret: {secretName: {{ .Values.kafka.tlsSecret }}, defaultMode: 0440}
{{- end }}
- {name: home, emptyDir: {}}
- {name: tmp, emptyDir: {}}
- name: releases
  persistentVolumeClaim: {claimName: {{ include "stgal.releasesClaim" . }}}
{{- end }}

{{- define "stgal.claim" -}}
resources: {requests: {storage: {{ .size }}}}
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
{{- end }}
