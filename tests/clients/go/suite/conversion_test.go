package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// convert answers as conformance's sample converter does: v1 has `hostPort`, v2 `host` and `port`.
func convert(writer http.ResponseWriter, request *http.Request) {
	review := apiextensions.ConversionReview{}
	if err := json.NewDecoder(request.Body).Decode(&review); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	response := &apiextensions.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for _, sent := range review.Request.Objects {
		object := map[string]any{}
		_ = json.Unmarshal(sent.Raw, &object)
		if strings.HasSuffix(review.Request.DesiredAPIVersion, "/v2") {
			if both, has := object["hostPort"].(string); has {
				object["host"], object["port"], _ = strings.Cut(both, ":")
			}
			delete(object, "hostPort")
		} else {
			host, hasHost := object["host"].(string)
			port, hasPort := object["port"].(string)
			if hasHost || hasPort {
				object["hostPort"] = host + ":" + port
			}
			delete(object, "host")
			delete(object, "port")
		}
		object["apiVersion"] = review.Request.DesiredAPIVersion
		raw, _ := json.Marshal(object)
		response.ConvertedObjects = append(response.ConvertedObjects, runtime.RawExtension{Raw: raw})
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(writer).Encode(review)
}

func converted(t *testing.T, namespace string) defined {
	t.Helper()
	bundle := serveBehindService(t, namespace, "converter", http.HandlerFunc(convert))
	own := definition{versions: []apiextensions.CustomResourceDefinitionVersion{
		version(t, "v1", `{"type":"object","properties":{"hostPort":{"type":"string"}}}`),
		version(t, "v2", `{"type":"object","properties":{"host":{"type":"string"},"port":{"type":"string"}}}`),
	}}
	own.versions[0].SelectableFields = []apiextensions.SelectableField{{JSONPath: ".hostPort"}}
	own.versions[1].SelectableFields = []apiextensions.SelectableField{{JSONPath: ".host"}, {JSONPath: ".port"}}
	own.mutate = func(made *apiextensions.CustomResourceDefinition) {
		made.Spec.Conversion = &apiextensions.CustomResourceConversion{Strategy: apiextensions.WebhookConverter, Webhook: &apiextensions.WebhookConversion{
			ConversionReviewVersions: []string{"v1", "v1beta1"},
			ClientConfig: &apiextensions.WebhookClientConfig{CABundle: bundle, Service: &apiextensions.ServiceReference{
				Namespace: namespace, Name: "converter", Path: pointer("/crdconvert"), Port: pointer(int32(hookPort)),
			}},
		}}
	}
	return define(t, own)
}

func (d defined) of(at int, name string, fields map[string]any) *unstructured.Unstructured {
	made := d.instance(name, fields)
	made.SetAPIVersion(d.gvr(at).GroupVersion().String())
	return made
}

// Objects that are stored in two versions are listed in either.
func TestDefinitionConversion(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := converted(t, namespace)
	v1, v2 := dyn.Resource(kind.gvr(0)).Namespace(namespace), dyn.Resource(kind.gvr(1)).Namespace(namespace)
	both := map[string]any{"hostPort": "localhost:8080"}
	_, err := v1.Create(t.Context(), kind.of(0, "one", both), metav1.CreateOptions{})
	must(t, err)
	read, err := v2.Get(t.Context(), "one", metav1.GetOptions{})
	must(t, err)
	equal(t, "host and port", fmt.Sprintf("%v %v %v", read.Object["host"], read.Object["port"], read.Object["hostPort"]), "localhost 8080 <nil>")
	changeDefinition(t, kind, func(made *apiextensions.CustomResourceDefinition) {
		made.Spec.Versions[0].Storage, made.Spec.Versions[1].Storage = false, true
	})
	_, err = v1.Create(t.Context(), kind.of(0, "two", both), metav1.CreateOptions{})
	must(t, err)
	for at, wanted := range []string{"localhost:8080 <nil> <nil>", "<nil> localhost 8080"} {
		listed, err := dyn.Resource(kind.gvr(at)).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		equal(t, "objects", len(listed.Items), 2)
		for _, item := range listed.Items {
			equal(t, "version", item.GetAPIVersion(), kind.gvr(at).GroupVersion().String())
			equal(t, "fields", fmt.Sprintf("%v %v %v", item.Object["hostPort"], item.Object["host"], item.Object["port"]), wanted)
		}
	}
}

// tally is what a watch or an informer saw: names that came and names that went.
type tally struct{ added, deleted []string }

func (seen *tally) text() string { return fmt.Sprint(seen.added, seen.deleted) }

// Fields are selected in the version that is asked for, whichever is stored: lists, watches, informers and deletions.
func TestDefinitionConvertedFields(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := converted(t, namespace)
	v2 := dyn.Resource(kind.gvr(1)).Namespace(namespace)
	watches := map[string]watch.Interface{}
	versionOf := map[string]int{"host=host1": 1, "host=host1,port=80": 1, "hostPort=host1:80": 0}
	for selector, at := range versionOf {
		started, err := dyn.Resource(kind.gvr(at)).Namespace(namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: selector})
		must(t, err)
		t.Cleanup(started.Stop)
		watches[selector] = started
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(dyn, kind.gvr(1), namespace, 0, nil, func(options *metav1.ListOptions) {
		options.FieldSelector = "host=host1"
	})
	events := &recorder{}
	_, err := informer.Informer().AddEventHandler(events)
	must(t, err)
	go informer.Informer().RunWithContext(t.Context())
	check(t, cache.WaitForCacheSync(t.Context().Done(), informer.Informer().HasSynced), "the informer did not sync")
	for name, fields := range map[string]map[string]any{
		"a": {"host": "host1", "port": "80"}, "b": {"host": "host1", "port": "8080"}, "c": {"host": "host2"},
	} {
		_, err := v2.Create(t.Context(), kind.of(1, name, fields), metav1.CreateOptions{})
		must(t, err)
	}
	lists := func(at int, selector, wanted string) {
		listed, err := dyn.Resource(kind.gvr(at)).Namespace(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		must(t, err)
		names := []string{}
		for _, item := range listed.Items {
			names = append(names, item.GetName())
		}
		equal(t, "objects with "+selector, strings.Join(names, " "), wanted)
	}
	lists(1, "host=host1", "a b")
	lists(1, "host=host1,port=80", "a")
	lists(0, "hostPort=host1:80", "a")
	lists(0, "hostPort=host1:8080", "b")
	must(t, v2.DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(0))}, metav1.ListOptions{FieldSelector: "host=host1,port=80"}))
	read, err := v2.Get(t.Context(), "b", metav1.GetOptions{})
	must(t, err)
	read.Object["host"] = "host2"
	_, err = v2.Update(t.Context(), read, metav1.UpdateOptions{})
	must(t, err)
	lists(1, "host=host1", "")
	lists(1, "host=host1,port=80", "")
	for selector, wanted := range map[string]string{"host=host1": "4", "host=host1,port=80": "[a] [a]", "hostPort=host1:80": "[a] [a]"} {
		seen := &tally{}
		eventually(t, "events of "+selector, func(context.Context) (bool, error) {
			event := nextEvent(t, watches[selector])
			object, isObject := event.Object.(*unstructured.Unstructured)
			if !isObject {
				return false, fmt.Errorf("%s %v", event.Type, event.Object)
			}
			name := object.GetName()
			switch event.Type {
			case watch.Added:
				seen.added = append(seen.added, name)
			case watch.Deleted:
				seen.deleted = append(seen.deleted, name)
			default:
				return false, fmt.Errorf("%s of %s", event.Type, name)
			}
			return seen.text() == wanted || fmt.Sprint(len(seen.added)+len(seen.deleted)) == wanted, nil
		})
	}
	events.expect(t, "changes", "^add,add,delete,delete,$")
}
