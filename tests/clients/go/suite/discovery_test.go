package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/rest"
	kubeproto "k8s.io/kube-openapi/pkg/util/proto"
	"sigs.k8s.io/yaml"
)

// answer is what the server says to a plain GET with these headers.
func answer(t *testing.T, path string, headers map[string]string) (*http.Response, []byte) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	must(t, err)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	must(t, err)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return response, body
}

// TestDiscoveryOpenAPISchema: the protobuf form says what the JSON form says, and kubectl's reader can use it.
func TestDiscoveryOpenAPISchema(t *testing.T) {
	document, err := typed.Discovery().OpenAPISchema()
	must(t, err)
	models, err := kubeproto.NewOpenAPIData(document)
	must(t, err)
	for _, name := range []string{"io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.Pod", "io.k8s.api.batch.v1.Job"} {
		check(t, models.LookupModel(name) != nil, "%s has no model", name)
	}
	deployment, ok := models.LookupModel("io.k8s.api.apps.v1.Deployment").(*kubeproto.Kind)
	check(t, ok, "a Deployment is no kind")
	_, hasKind := deployment.GetExtensions()["x-kubernetes-group-version-kind"]
	check(t, hasKind, "a Deployment's model does not name its kind")

	_, text := answer(t, "/openapi/v2", map[string]string{"Accept": "application/json"})
	parsed, err := openapi_v2.ParseDocument(text)
	must(t, err)
	readable(parsed.ProtoReflect())
	readable(document.ProtoReflect())
	equal(t, "number of definitions", len(document.Definitions.AdditionalProperties), len(parsed.Definitions.AdditionalProperties))
	for index, wanted := range parsed.Definitions.AdditionalProperties {
		got := document.Definitions.AdditionalProperties[index]
		if !proto.Equal(got, wanted) {
			t.Fatalf("definition %s is %v, not %v", wanted.Name, got, wanted)
		}
	}
	for index, wanted := range parsed.Paths.Path {
		if got := document.Paths.Path[index]; !proto.Equal(got, wanted) {
			t.Fatalf("path %s is %v, not %v", wanted.Name, got, wanted)
		}
	}
	check(t, proto.Equal(document, parsed), "the documents differ outside of definitions and paths")
}

// readable brings the YAML texts of a document into one form: two writers indent them differently.
func readable(message protoreflect.Message) {
	if value, isAny := message.Interface().(*openapi_v2.Any); isAny {
		var tree any
		if err := yaml.Unmarshal([]byte(value.Yaml), &tree); err != nil {
			panic(fmt.Sprintf("%q: %v", value.Yaml, err))
		}
		text, err := json.Marshal(tree)
		if err != nil {
			panic(err)
		}
		value.Yaml = string(text)
		return
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for index := range value.List().Len() {
				readable(value.List().Get(index).Message())
			}
		default:
			readable(value.Message())
		}
		return true
	})
}

// TestDiscoveryGroupsAndResources: the classic and the aggregated documents say the same, to a client that takes either.
func TestDiscoveryGroupsAndResources(t *testing.T) {
	_, aggregated, err := typed.Discovery().ServerGroupsAndResources()
	must(t, err)
	classic := discovery.NewDiscoveryClientForConfigOrDie(config)
	classic.UseLegacyDiscovery = true
	_, plain, err := classic.ServerGroupsAndResources()
	must(t, err)
	check(t, len(plain) > 20, "only %d group versions", len(plain))
	names := func(lists []*metav1.APIResourceList) map[string]string {
		found := map[string]string{}
		for _, list := range lists {
			for _, resource := range list.APIResources {
				verbs := append([]string{}, resource.Verbs...)
				found[list.GroupVersion+"/"+resource.Name] = fmt.Sprint(
					resource.Kind, resource.Group, resource.Version, resource.Namespaced, verbs, resource.ShortNames, resource.Categories)
			}
		}
		return found
	}
	got, wanted := names(aggregated), names(plain)
	equal(t, "number of resources", len(got), len(wanted))
	for name, text := range wanted {
		if _, known := got[name]; !known {
			t.Errorf("%s (%s) is missing from aggregated discovery", name, text)
		}
	}
	groups, resources, failed, err := typed.Discovery().(discovery.AggregatedDiscoveryInterface).GroupsAndMaybeResources()
	must(t, err)
	equal(t, "number of failed groups", len(failed), 0)
	check(t, resources != nil, "the server gave no aggregated discovery")
	check(t, len(groups.Groups) > 10, "only %d groups", len(groups.Groups))
}

const aggregatedForm = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// TestDiscoveryTagsAndCustomKinds: documents are not sent twice, and all of them follow the custom kinds.
func TestDiscoveryTagsAndCustomKinds(t *testing.T) {
	documents := map[string]string{
		"/openapi/v2": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
		"/openapi/v3": "application/json",
		"/apis":       aggregatedForm,
	}
	tags := map[string]string{}
	for path, form := range documents {
		response, _ := answer(t, path, map[string]string{"Accept": form})
		tags[path] = response.Header.Get("ETag")
		check(t, strings.HasPrefix(tags[path], `"`), "%s has the tag %q", path, tags[path])
		again, body := answer(t, path, map[string]string{"Accept": form, "If-None-Match": tags[path]})
		equal(t, path+" asked for again", again.StatusCode, http.StatusNotModified)
		equal(t, path+"'s body when not modified", len(body), 0)
	}
	group := "discovery.suite.example.com"
	makeGadgets(t, group)
	eventually(t, "the custom kind in every document", func(context.Context) (bool, error) {
		for path, form := range documents {
			response, body := answer(t, path, map[string]string{"Accept": form, "If-None-Match": tags[path]})
			if response.StatusCode != http.StatusOK || !strings.Contains(string(body), group) && path != "/openapi/v2" {
				return false, nil
			}
		}
		return true, nil
	})
	document, err := typed.Discovery().OpenAPISchema()
	must(t, err)
	models, err := kubeproto.NewOpenAPIData(document)
	must(t, err)
	gadget, ok := models.LookupModel("com.example.suite.discovery.v1.Gadget").(*kubeproto.Kind)
	check(t, ok, "there is no model of the custom kind")
	spec, ok := gadget.Fields["spec"].(*kubeproto.Kind)
	check(t, ok, "its spec is %T", gadget.Fields["spec"])
	check(t, spec.Fields["size"] != nil, "its spec has no size")
	_, isOpen := spec.Fields["anything"].(*kubeproto.Arbitrary)
	check(t, isOpen, "what may be anything is %T", spec.Fields["anything"])
}

func makeGadgets(t *testing.T, group string) {
	t.Helper()
	anything := true
	definition := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "gadgets." + group},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: group,
			Names: apiextensions.CustomResourceDefinitionNames{Plural: "gadgets", Kind: "Gadget"},
			Scope: apiextensions.NamespaceScoped,
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &apiextensions.JSONSchemaProps{
					Type: "object",
					Properties: map[string]apiextensions.JSONSchemaProps{"spec": {
						Type: "object",
						Properties: map[string]apiextensions.JSONSchemaProps{
							"size": {Type: "integer", Minimum: pointer(1.0), Default: &apiextensions.JSON{Raw: []byte("3")}},
							"anything": {Type: "object", XPreserveUnknownFields: &anything,
								Properties: map[string]apiextensions.JSONSchemaProps{"known": {Type: "string"}}},
							"maybe": {Type: "string", Nullable: true},
							"port":  {XIntOrString: true, AnyOf: []apiextensions.JSONSchemaProps{{Type: "integer"}, {Type: "string"}}},
							"tags":  {Type: "array", Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &apiextensions.JSONSchemaProps{Type: "string"}}},
							"words": {Type: "object", AdditionalProperties: &apiextensions.JSONSchemaPropsOrBool{Allows: true, Schema: &apiextensions.JSONSchemaProps{Type: "string"}}},
						},
					}},
				}},
			}},
		},
	}
	content, err := toUnstructured(definition)
	must(t, err)
	definitions := dyn.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err = definitions.Create(t.Context(), content, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		must(t, definitions.Delete(ctx, definition.Name, metav1.DeleteOptions{}))
		must(t, wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			_, err := definitions.Get(ctx, definition.Name, metav1.GetOptions{})
			return gone(err)
		}))
	})
}

// TestDiscoveryOpenAPIV3: every document can be read, never changes under its hash, and moves when the hash is old.
func TestDiscoveryOpenAPIV3(t *testing.T) {
	paths, err := typed.Discovery().OpenAPIV3().Paths()
	must(t, err)
	check(t, paths["apis/apps/v1"] != nil, "apps/v1 has no document")
	root := openapi3.NewRoot(typed.Discovery().OpenAPIV3())
	versions, err := root.GroupVersions()
	must(t, err)
	equal(t, "number of group versions", len(versions), len(paths))
	for _, version := range versions {
		spec, err := root.GVSpec(version)
		must(t, err)
		check(t, len(spec.Components.Schemas) > 0, "%s has no schemas", version)
	}
	url := paths["apis/apps/v1"].ServerRelativeURL()
	response, _ := answer(t, url, map[string]string{"Accept": "application/json"})
	equal(t, "Cache-Control under a hash", response.Header.Get("Cache-Control"), "public, immutable")
	check(t, response.Header.Get("Expires") != "", "no Expires under a hash")
	before, _, _ := strings.Cut(url, "?")
	plain, _ := answer(t, before, map[string]string{"Accept": "application/json"})
	check(t, !strings.Contains(plain.Header.Get("Cache-Control"), "immutable"), "immutable without a hash")
	old, _ := answer(t, before+"?hash=OLD", map[string]string{"Accept": "application/json"})
	equal(t, "an old hash", old.StatusCode, http.StatusMovedPermanently)
	equal(t, "where it moved", old.Header.Get("Location"), url)
	refused, _ := answer(t, url, map[string]string{"Accept": "text/html"})
	equal(t, "a form that there isn't", refused.StatusCode, http.StatusNotAcceptable)
}

func toUnstructured(object any) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	made := &unstructured.Unstructured{Object: content}
	made.SetAPIVersion("apiextensions.k8s.io/v1")
	made.SetKind("CustomResourceDefinition")
	return made, err
}
