package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
)

func (d defined) instance(name string, more map[string]any) *unstructured.Unstructured {
	object := map[string]any{"apiVersion": d.apiVersion(), "kind": d.Spec.Names.Kind, "metadata": map[string]any{"name": name}}
	for key, value := range more {
		object[key] = value
	}
	return &unstructured.Unstructured{Object: object}
}

func served(t *testing.T) definition {
	t.Helper()
	return definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", anything)}}
}

// Ten definitions with one label: list and deletecollection see them, and their kinds go.
func TestDefinitionCollection(t *testing.T) {
	t.Parallel()
	label := unique("l")
	own := served(t)
	own.mutate = func(made *apiextensions.CustomResourceDefinition) { made.Labels = map[string]string{"suite": label} }
	client := extensions(t).ApiextensionsV1().CustomResourceDefinitions()
	for range 10 {
		_, err := client.Create(t.Context(), own.build(unique("many")), metav1.CreateOptions{})
		must(t, err)
	}
	selected := metav1.ListOptions{LabelSelector: "suite=" + label}
	listed, err := client.List(t.Context(), selected)
	must(t, err)
	equal(t, "definitions", len(listed.Items), 10)
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, selected))
	eventually(t, "all are gone", func(ctx context.Context) (bool, error) {
		listed, err := client.List(ctx, selected)
		return err == nil && len(listed.Items) == 0, err
	})
}

// Get, update and patch of the status of a definition change it and nothing else.
func TestDefinitionStatus(t *testing.T) {
	t.Parallel()
	kind := define(t, served(t))
	client := kind.client.ApiextensionsV1().CustomResourceDefinitions()
	status, err := dyn.Resource(apiextensions.SchemeGroupVersion.WithResource("customresourcedefinitions")).
		Get(t.Context(), kind.Name, metav1.GetOptions{}, "status")
	must(t, err)
	equal(t, "name", status.GetName(), kind.Name)
	condition := apiextensions.CustomResourceDefinitionCondition{Type: "StatusUpdate", Status: "True", Reason: "E2E", Message: "Set from a test"}
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := client.Get(t.Context(), kind.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		read.Status.Conditions = append(read.Status.Conditions, condition)
		updated, err := client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		if err == nil {
			check(t, updated.Status.Conditions[len(updated.Status.Conditions)-1].Message == condition.Message, "conditions %v", updated.Status.Conditions)
		}
		return err
	}))
	patched, err := client.Patch(t.Context(), kind.Name, types.MergePatchType,
		[]byte(`{"spec":{"names":{"categories":["patched"]}},"status":{"conditions":[]}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "categories", len(patched.Spec.Names.Categories), 0)
}

// Defaults are filled into what clients send, and into what is stored without them.
func TestDefinitionDefaults(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	plain := `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}`
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", plain)}})
	client := kind.in(namespace)
	_, err := client.Create(t.Context(), kind.instance("old", map[string]any{"b": "given"}), metav1.CreateOptions{})
	must(t, err)
	withDefault := `{"type":"object","properties":{"a":{"type":"string","default":"A"},"b":{"type":"string"}}}`
	changeDefinition(t, kind, func(made *apiextensions.CustomResourceDefinition) {
		made.Spec.Versions[0].Schema = schemaOf(t, withDefault)
	})
	eventually(t, "the default is there on read", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "old", metav1.GetOptions{})
		return err == nil && read.Object["a"] == "A" && read.Object["b"] == "given", err
	})
	made, err := client.Create(t.Context(), kind.instance("new", nil), metav1.CreateOptions{})
	must(t, err)
	equal[any](t, "a", made.Object["a"], "A")
	changeDefinition(t, kind, func(made *apiextensions.CustomResourceDefinition) {
		changed := schemaOf(t, `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string","default":"B"}}}`)
		made.Spec.Versions[0].Schema = changed
	})
	eventually(t, "the new default is there, the old one stays where it was stored", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "new", metav1.GetOptions{})
		return err == nil && read.Object["a"] == "A" && read.Object["b"] == "B", err
	})
}

func changeDefinition(t *testing.T, kind defined, mutate func(*apiextensions.CustomResourceDefinition)) {
	t.Helper()
	client := kind.client.ApiextensionsV1().CustomResourceDefinitions()
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := client.Get(t.Context(), kind.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		mutate(read)
		_, err = client.Update(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
}

// A watch sees custom objects come, change and go, in every served version.
func TestDefinitionWatch(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1beta1", anything), version(t, "v1", anything)}})
	for at := range kind.Spec.Versions {
		client := dyn.Resource(kind.gvr(at)).Namespace(namespace)
		follow, err := client.Watch(t.Context(), metav1.ListOptions{})
		must(t, err)
		instance := kind.instance(fmt.Sprintf("name%d", at), nil)
		instance.SetAPIVersion(kind.gvr(at).GroupVersion().String())
		made, err := client.Create(t.Context(), instance, metav1.CreateOptions{})
		must(t, err)
		expectEvent(t, follow, watch.Added, made.GetName())
		_, err = client.Patch(t.Context(), made.GetName(), types.MergePatchType, []byte(`{"num":{"num1":"x"}}`), metav1.PatchOptions{})
		must(t, err)
		expectEvent(t, follow, watch.Modified, made.GetName())
		must(t, client.Delete(t.Context(), made.GetName(), metav1.DeleteOptions{}))
		expectEvent(t, follow, watch.Deleted, made.GetName())
		follow.Stop()
	}
}

func nextEvent(t *testing.T, follow watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, open := <-follow.ResultChan():
		if !open {
			t.Fatal("the watch ended")
		}
		return event
	case <-time.After(patience):
		t.Fatal("no event")
	}
	panic("unreachable")
}

func expectEvent(t *testing.T, follow watch.Interface, kind watch.EventType, name string) watch.Event {
	t.Helper()
	event := nextEvent(t, follow)
	accessor, isObject := event.Object.(metav1.Object)
	if !isObject || event.Type != kind || accessor.GetName() != name {
		t.Fatalf("event %s %v instead of %s %s", event.Type, event.Object, kind, name)
	}
	return event
}

// A watch and a list by a selectable field, in both versions, with the field moving in and out.
func TestDefinitionSelectableFields(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	text := `{"type":"object","properties":{"host":{"type":"string"},"port":{"type":"string"}}}`
	own := definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", text), version(t, "v2", text)}}
	for at := range own.versions {
		own.versions[at].SelectableFields = []apiextensions.SelectableField{{JSONPath: ".host"}, {JSONPath: ".port"}}
	}
	kind := define(t, own)
	for at := range kind.Spec.Versions {
		client := dyn.Resource(kind.gvr(at)).Namespace(namespace)
		options := metav1.ListOptions{FieldSelector: "host=host1,port=80"}
		follow, err := client.Watch(t.Context(), options)
		must(t, err)
		for _, host := range []string{"host1", "host2"} {
			instance := kind.instance(fmt.Sprintf("%s-%d", host, at), map[string]any{"host": host, "port": "80"})
			instance.SetAPIVersion(kind.gvr(at).GroupVersion().String())
			_, err := client.Create(t.Context(), instance, metav1.CreateOptions{})
			must(t, err)
		}
		expectEvent(t, follow, watch.Added, fmt.Sprintf("host1-%d", at))
		listed, err := client.List(t.Context(), options)
		must(t, err)
		equal(t, "selected", len(listed.Items), 1)
		move := func(name, host string) {
			_, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"host":"`+host+`"}`), metav1.PatchOptions{})
			must(t, err)
		}
		move(fmt.Sprintf("host1-%d", at), "elsewhere")
		expectEvent(t, follow, watch.Deleted, fmt.Sprintf("host1-%d", at))
		move(fmt.Sprintf("host2-%d", at), "host1")
		expectEvent(t, follow, watch.Added, fmt.Sprintf("host2-%d", at))
		must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, options))
		expectEvent(t, follow, watch.Deleted, fmt.Sprintf("host2-%d", at))
		follow.Stop()
		must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	}
	_, err := dyn.Resource(kind.gvr(0)).List(t.Context(), metav1.ListOptions{FieldSelector: "other=x"})
	check(t, apierrors.IsBadRequest(err), "unknown field: %v", err)
}

// Status, scale and validation rules of a custom kind.
func TestDefinitionSubresources(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	text := `{"type":"object","properties":{
		"spec":{"type":"object","x-kubernetes-validations":[{"rule":"self.replicas <= 5","message":"at most five"},{"rule":"self.replicas >= oldSelf.replicas"}],
			"properties":{"replicas":{"type":"integer"}}},
		"status":{"type":"object","properties":{"replicas":{"type":"integer"},"selector":{"type":"string"}}}}}`
	own := definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", text)}}
	own.versions[0].Subresources = &apiextensions.CustomResourceSubresources{
		Status: &apiextensions.CustomResourceSubresourceStatus{},
		Scale: &apiextensions.CustomResourceSubresourceScale{
			SpecReplicasPath: ".spec.replicas", StatusReplicasPath: ".status.replicas", LabelSelectorPath: pointer(".status.selector"),
		},
	}
	kind := define(t, own)
	client := kind.in(namespace)
	made, err := client.Create(t.Context(), kind.instance("a", map[string]any{"spec": map[string]any{"replicas": 3}, "status": map[string]any{"replicas": 9}}), metav1.CreateOptions{})
	must(t, err)
	check(t, made.Object["status"] == nil, "status on create: %v", made.Object["status"])
	equal(t, "generation", made.GetGeneration(), 1)
	_, err = client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"status":{"replicas":2,"selector":"a=b"},"spec":{"replicas":4}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	scale, err := client.Get(t.Context(), "a", metav1.GetOptions{}, "scale")
	must(t, err)
	text2, _ := json.Marshal(scale.Object)
	check(t, strings.Contains(string(text2), `"spec":{"replicas":3}`) && strings.Contains(string(text2), `"selector":"a=b"`), "scale %s", text2)
	must(t, unstructured.SetNestedField(scale.Object, int64(4), "spec", "replicas"))
	_, err = client.Update(t.Context(), scale, metav1.UpdateOptions{}, "scale")
	must(t, err)
	read, err := client.Get(t.Context(), "a", metav1.GetOptions{})
	must(t, err)
	equal(t, "generation after scale", read.GetGeneration(), 2)
	tooMany := []byte(`{"spec":{"replicas":7}}`)
	_, err = client.Patch(t.Context(), "a", types.MergePatchType, tooMany, metav1.PatchOptions{})
	says(t, err, "at most five")
	_, err = client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
	says(t, err, "failed rule: self.replicas >= oldSelf.replicas")
}

// A deleted definition takes its objects along, those with finalizers when they let go.
func TestDefinitionDeletion(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := define(t, served(t))
	client := kind.in(namespace)
	held := kind.instance("held", nil)
	held.SetFinalizers([]string{"example.com/hold"})
	_, err := client.Create(t.Context(), held, metav1.CreateOptions{})
	must(t, err)
	definitions := kind.client.ApiextensionsV1().CustomResourceDefinitions()
	must(t, definitions.Delete(t.Context(), kind.Name, metav1.DeleteOptions{}))
	eventually(t, "the object is being deleted", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "held", metav1.GetOptions{})
		return err == nil && read.GetDeletionTimestamp() != nil, err
	})
	_, err = client.Create(t.Context(), kind.instance("late", nil), metav1.CreateOptions{})
	check(t, apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err), "create while terminating: %v", err)
	release(t, client, "held")
	eventually(t, "the definition is gone", func(ctx context.Context) (bool, error) {
		_, err := definitions.Get(ctx, kind.Name, metav1.GetOptions{})
		return gone(err)
	})
	_, err = client.List(t.Context(), metav1.ListOptions{})
	check(t, apierrors.IsNotFound(err), "list after deletion: %v", err)
}

func release(t *testing.T, client dynamic.ResourceInterface, name string) {
	t.Helper()
	_, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	must(t, err)
}

// What a client publishes is in OpenAPI v2 and v3, and follows renames and withdrawn versions.
func TestDefinitionOpenAPI(t *testing.T) {
	t.Parallel()
	text := `{"description":"Foo CRD for Testing","type":"object","properties":{"spec":{"type":"object","description":"Specification of Foo",
		"properties":{"bars":{"description":"List of Bars.","type":"array","items":{"type":"object","required":["name"],
		"properties":{"name":{"type":"string","description":"Name of Bar."},"age":{"type":"string"}}}}}}}}`
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v2", text), version(t, "v3", text)}})
	published := func(version string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			raw, err := typed.Discovery().RESTClient().Get().AbsPath("/openapi/v2").Do(ctx).Raw()
			if err != nil {
				return false, err
			}
			paths, err := typed.Discovery().OpenAPIV3().Paths()
			if err != nil {
				return false, err
			}
			_, inV3 := paths["apis/"+kind.Spec.Group+"/"+version]
			name := fmt.Sprintf(`"com.example.%s.%s.%s"`, kind.Spec.Names.Singular, version, kind.Spec.Names.Kind)
			return inV3 && strings.Contains(string(raw), name) && strings.Contains(string(raw), "Specification of Foo"), nil
		}
	}
	eventually(t, "both versions are published", published("v2"))
	eventually(t, "both versions are published", published("v3"))
	changeDefinition(t, kind, func(made *apiextensions.CustomResourceDefinition) { made.Spec.Versions[1].Name = "v4" })
	eventually(t, "the new name is published", published("v4"))
	eventually(t, "the old one is not", func(ctx context.Context) (bool, error) {
		is, err := published("v3")(ctx)
		return !is, err
	})
	changeDefinition(t, kind, func(made *apiextensions.CustomResourceDefinition) { made.Spec.Versions[1].Served = false })
	eventually(t, "the withdrawn version is not published", func(ctx context.Context) (bool, error) {
		is, err := published("v4")(ctx)
		return !is, err
	})
	eventually(t, "the other one still is", published("v2"))
}
