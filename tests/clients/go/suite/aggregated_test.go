package suite

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/util/retry"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// flunders is the smallest API server: one kind, kept in a map.
type flunders struct {
	mutex   sync.Mutex
	version schema.GroupVersion
	kept    map[string]map[string]any
}

func (f *flunders) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	reply := func(code int, body any) {
		writer.Header().Set("Content-Type", "application/json")
		writer.WriteHeader(code)
		_ = json.NewEncoder(writer).Encode(body)
	}
	within := "/apis/" + f.version.String()
	_, name, _ := strings.Cut(request.URL.Path, "/flunders/")
	switch {
	case request.URL.Path == within:
		reply(http.StatusOK, metav1.APIResourceList{GroupVersion: f.version.String(), APIResources: []metav1.APIResource{
			{Name: "flunders", SingularName: "flunder", Namespaced: true, Kind: "Flunder", Verbs: []string{"create", "delete", "get", "list"}}}})
	case !strings.HasPrefix(request.URL.Path, within+"/namespaces/"):
		http.NotFound(writer, request)
	case request.Method == http.MethodPost:
		body := map[string]any{}
		_ = json.NewDecoder(request.Body).Decode(&body)
		f.kept[body["metadata"].(map[string]any)["name"].(string)] = body
		reply(http.StatusCreated, body)
	case request.Method == http.MethodDelete:
		delete(f.kept, name)
		reply(http.StatusOK, metav1.Status{Status: metav1.StatusSuccess})
	default:
		items := []map[string]any{}
		for _, item := range f.kept {
			items = append(items, item)
		}
		reply(http.StatusOK, map[string]any{"kind": "FlunderList", "apiVersion": f.version.String(), "metadata": map[string]any{}, "items": items})
	}
}

// Another server's API is used through this one, and its APIService changed, until deletecollection takes it away.
func TestDiscoveryOfAnotherServer(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	group := strings.ReplaceAll(namespace, "-", "") + ".example.com"
	other := &flunders{version: schema.GroupVersion{Group: group, Version: "v1alpha1"}, kept: map[string]map[string]any{}}
	bundle := serveBehindService(t, namespace, "sample-api", other)
	name := "v1alpha1." + group
	registry, err := aggregator.NewForConfig(config)
	must(t, err)
	services := registry.ApiregistrationV1().APIServices()
	_, err = services.Create(t.Context(), &apiregistration.APIService{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: apiregistration.APIServiceSpec{
		Service: &apiregistration.ServiceReference{Namespace: namespace, Name: "sample-api", Port: pointer(int32(hookPort))},
		Group:   group, Version: "v1alpha1", CABundle: bundle, GroupPriorityMinimum: 2000, VersionPriority: 200,
	}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = services.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	gvr := other.version.WithResource("flunders")
	client := dyn.Resource(gvr).Namespace(namespace)
	eventually(t, "the other server answers", func(ctx context.Context) (bool, error) {
		_, err := client.List(ctx, metav1.ListOptions{})
		return err == nil, nil
	})
	eventually(t, "all checks have passed", func(ctx context.Context) (bool, error) {
		read, err := services.Get(ctx, name, metav1.GetOptions{})
		return err == nil && len(read.Status.Conditions) > 0 && read.Status.Conditions[0].Message == "all checks passed", err
	})
	preferred, err := typed.Discovery().ServerPreferredNamespacedResources()
	must(t, err)
	known, err := discovery.GroupVersionResources(preferred)
	must(t, err)
	_, isKnown := known[gvr]
	check(t, isKnown, "the preferred resources lack %v", gvr)
	flunder := &unstructured.Unstructured{Object: map[string]any{"kind": "Flunder", "apiVersion": other.version.String(), "metadata": map[string]any{"name": "one"}}}
	_, err = client.Create(t.Context(), flunder, metav1.CreateOptions{})
	must(t, err)
	listed, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	equal(t, "flunders", len(listed.Items), 1)
	must(t, client.Delete(t.Context(), "one", metav1.DeleteOptions{}))
	registered(t, services.Get, services.UpdateStatus, name)

	patched, err := services.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"versionPriority":400},"metadata":{"labels":{"suite":"`+namespace+`"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "priority", patched.Spec.VersionPriority, 400)
	must(t, services.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "suite=" + namespace}))
	eventually(t, "the API is gone", func(ctx context.Context) (bool, error) {
		_, err := client.List(ctx, metav1.ListOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

// registered writes a condition of its own into the status, and it stays there.
func registered(
	t *testing.T,
	get func(context.Context, string, metav1.GetOptions) (*apiregistration.APIService, error),
	update func(context.Context, *apiregistration.APIService, metav1.UpdateOptions) (*apiregistration.APIService, error),
	name string,
) {
	t.Helper()
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		read.Status.Conditions = append(read.Status.Conditions, apiregistration.APIServiceCondition{Type: "StatusUpdated", Status: "True", Reason: "E2E", Message: "Set from a test"})
		_, err = update(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	read, err := get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	equal(t, "conditions", len(read.Status.Conditions), 2)
}
