package suite

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

const cronSchema = `{"type": "object", "properties": {"spec": {"type": "object", "properties": {
	"foo": {"type": "string"},
	"cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
	"ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
		"items": {"type": "object", "required": ["containerPort", "protocol"], "properties": {
			"containerPort": {"type": "integer", "format": "int32"}, "hostIP": {"type": "string"},
			"hostPort": {"type": "integer", "format": "int32"}, "name": {"type": "string"}, "protocol": {"type": "string"}}}}
}}}}`

func brokenDeployment(metadata, spec string) string {
	return fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", %s "labels": {"app": "x"}},
		"spec": {%s "selector": {"matchLabels": {"app": "x"}},
		"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}}}`, metadata, spec)
}

func TestFieldsOfTypedObjects(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	post := func(body string) error {
		return typed.CoreV1().RESTClient().Post().AbsPath("/apis/apps/v1").Namespace(namespace).Resource("deployments").
			Param("fieldManager", "suite").Param("fieldValidation", "Strict").Body([]byte(body)).Do(t.Context()).Error()
	}
	says(t, post(brokenDeployment("", `"unknownField": "foo", "replicas": 2, "replicas": 3,`)),
		`strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"`)
	says(t, post(brokenDeployment(`"unknownMeta": "foo",`, "")), `strict decoding error: unknown field "metadata.unknownMeta"`)
}

// What is empty vanishes as in Go's own structs, so that writing an object back unchanged, in either form, changes nothing.
func TestFieldsThatAreEmpty(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	body := brokenDeployment(`"annotations": {}, "finalizers": [],`, `"paused": false, "replicas": 0,`)
	raw, err := typed.CoreV1().RESTClient().Post().AbsPath("/apis/apps/v1").Namespace(namespace).Resource("deployments").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").
		Param("fieldManager", "suite").Body([]byte(body)).Do(t.Context()).Raw()
	must(t, err)
	for _, gone := range []string{`"annotations"`, `"finalizers"`, `"paused"`, "f:paused"} {
		check(t, !strings.Contains(string(raw), gone), "%s in %s", gone, raw)
	}
	check(t, strings.Contains(string(raw), `"replicas":0`), "replicas are gone: %s", raw)
	for _, form := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		own := rest.CopyConfig(config)
		own.ContentType, own.AcceptContentTypes = form, form
		deployments := kubernetes.NewForConfigOrDie(own).AppsV1().Deployments(namespace)
		var before, after *appsv1.Deployment
		must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
			before, err = deployments.Get(t.Context(), "d", metav1.GetOptions{})
			must(t, err)
			after, err = deployments.Update(t.Context(), before, metav1.UpdateOptions{})
			return err
		}))
		equal(t, "version after an unchanged update in "+form, after.ResourceVersion, before.ResourceVersion)
	}
}

// warnings collects what the server warns of.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

func TestFieldsWarned(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	heard := &warnings{}
	own := rest.CopyConfig(config)
	own.WarningHandler = heard
	client, err := kubernetes.NewForConfig(own)
	must(t, err)
	body := brokenDeployment("", `"unknownField": "foo", "replicas": 2, "replicas": 3,`)
	must(t, client.CoreV1().RESTClient().Post().AbsPath("/apis/apps/v1").Namespace(namespace).Resource("deployments").
		Param("fieldValidation", "Warn").Body([]byte(body)).Do(t.Context()).Error())
	equal(t, "warnings", strings.Join(heard.texts, "; "), `unknown field "spec.unknownField"; duplicate field "spec.replicas"`)
}

func says(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v does not say %s", err, text)
	}
}

// applied sends YAML by server-side apply with strict checks; the raw answer, also of a refusal.
func (d defined) applied(t *testing.T, text string) (string, error) {
	t.Helper()
	body := fmt.Sprintf("\napiVersion: %s\nkind: %s\nmetadata:\n  name: mytest\n%s", d.apiVersion(), d.Spec.Names.Kind, text)
	answer, err := d.client.Discovery().RESTClient().Patch(types.ApplyPatchType).
		AbsPath("/apis", d.Spec.Group, d.Spec.Versions[0].Name, d.Spec.Names.Plural).Name("mytest").
		Param("fieldManager", "suite").Param("fieldValidation", "Strict").Body([]byte(body)).DoRaw(t.Context())
	return string(answer), err
}

const cronSpec = "  foo: foo1\n  cronSpec: \"* * * * */5\"\n  ports:\n  - name: x\n    containerPort: 80\n    protocol: TCP"

func TestFieldsOfCustomObjects(t *testing.T) {
	t.Parallel()
	twoVersions := func(text string) definition {
		return definition{
			scope:    apiextensions.ClusterScoped,
			versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1beta1", text), version(t, "v1", text)},
		}
	}
	t.Run("valid", func(t *testing.T) {
		_, err := define(t, twoVersions(cronSchema)).applied(t, "spec:\n"+cronSpec)
		must(t, err)
	})
	t.Run("no schema", func(t *testing.T) {
		_, err := define(t, twoVersions(anything)).applied(t, "spec:\n  unknown: uk1\n"+cronSpec)
		must(t, err)
	})
	t.Run("unknown at the top", func(t *testing.T) {
		answer, _ := define(t, twoVersions(cronSchema)).applied(t, "unknownField: unknown\nspec:\n"+cronSpec)
		check(t, strings.Contains(answer, ".unknownField: field not declared in schema"), "answer: %s", answer)
	})
	preserving := strings.Replace(cronSchema, `"spec": {"type": "object",`, `"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,`, 1)
	t.Run("unknown in metadata", func(t *testing.T) {
		embedding := strings.Replace(preserving, `"foo": {"type": "string"},`, `"foo": {"type": "string"}, "template": {"type": "object",
			"x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"},
			"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}}},`, 1)
		answer, _ := define(t, twoVersions(embedding)).applied(t, "  unknownMeta: unknown\nspec:\n  template:\n    apiversion: foo/v1\n"+
			"    kind: Sub\n    metadata:\n      unknownSubMeta: unknown\n      name: subobject\n      namespace: x\n"+cronSpec)
		check(t, strings.Contains(answer, ".spec.template.metadata.unknownSubMeta: field not declared in schema") ||
			strings.Contains(answer, ".metadata.unknownMeta: field not declared in schema"), "answer: %s", answer)
	})
	t.Run("duplicate", func(t *testing.T) {
		answer, _ := define(t, twoVersions(preserving)).applied(t, "spec:\n  unknown: uk1\n  foo: foo1\n"+strings.Replace(cronSpec, "foo1", "foo2", 1))
		check(t, strings.Contains(answer, `line 9: key \"foo\" already set in map`), "answer: %s", answer)
	})
}
