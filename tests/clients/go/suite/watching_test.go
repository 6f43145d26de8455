package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func mutate(t *testing.T, namespace, name, data string, labels map[string]string) *corev1.ConfigMap {
	t.Helper()
	client := typed.CoreV1().ConfigMaps(namespace)
	read, err := client.Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	read.Data, read.Labels = map[string]string{"mutation": data}, labels
	updated, err := client.Update(t.Context(), read, metav1.UpdateOptions{})
	must(t, err)
	return updated
}

// Three watches by label see their own objects only, and objects that come into and leave the selection.
func TestWatchSelections(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ConfigMaps(namespace)
	a, b := map[string]string{"watch": "A"}, map[string]string{"watch": "B"}
	follow := func(selector string) watch.Interface {
		started, err := client.Watch(t.Context(), metav1.ListOptions{LabelSelector: selector})
		must(t, err)
		t.Cleanup(started.Stop)
		return started
	}
	onA, onB, onBoth := follow("watch=A"), follow("watch=B"), follow("watch in (A, B)")
	_, err := client.Create(t.Context(), configMap("a", a), metav1.CreateOptions{})
	must(t, err)
	expectEvent(t, onA, watch.Added, "a")
	expectEvent(t, onBoth, watch.Added, "a")
	mutate(t, namespace, "a", "1", a)
	expectEvent(t, onA, watch.Modified, "a")
	expectEvent(t, onBoth, watch.Modified, "a")
	mutate(t, namespace, "a", "2", b)
	expectEvent(t, onA, watch.Deleted, "a")
	expectEvent(t, onB, watch.Added, "a")
	expectEvent(t, onBoth, watch.Modified, "a")
	must(t, client.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	expectEvent(t, onB, watch.Deleted, "a")
	last := expectEvent(t, onBoth, watch.Deleted, "a").Object.(*corev1.ConfigMap)
	equal(t, "last state", last.Data["mutation"], "2")
}

// A watch from the version of an update sees what came after it, and a restarted one goes on where the first ended.
func TestWatchFromVersions(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ConfigMaps(namespace)
	made, err := client.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{})
	must(t, err)
	first := mutate(t, namespace, "a", "1", nil)
	mutate(t, namespace, "a", "2", nil)
	must(t, client.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	only := fields.OneTermEqualSelector("metadata.name", "a").String()
	follow, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion, FieldSelector: only})
	must(t, err)
	expectEvent(t, follow, watch.Modified, "a")
	expectEvent(t, follow, watch.Deleted, "a")
	follow.Stop()
	again, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: made.ResourceVersion, FieldSelector: only})
	must(t, err)
	equal(t, "first change", expectEvent(t, again, watch.Modified, "a").Object.(*corev1.ConfigMap).Data["mutation"], "1")
	again.Stop()
}

// Watches that start at every version of a busy namespace all see the rest of the one order.
func TestWatchOrder(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ConfigMaps(namespace)
	listed, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	const changes = 60
	reference, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: listed.ResourceVersion})
	must(t, err)
	t.Cleanup(reference.Stop)
	go func() {
		for i := range changes {
			name := fmt.Sprintf("cm-%d", i%7)
			_, err := client.Create(context.Background(), configMap(name, nil), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				_ = client.Delete(context.Background(), name, metav1.DeleteOptions{})
			}
		}
	}()
	order := []string{}
	for range changes {
		order = append(order, nextEvent(t, reference).Object.(*corev1.ConfigMap).ResourceVersion)
	}
	var group sync.WaitGroup
	for start := range changes - 1 {
		group.Go(func() {
			follow, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: order[start]})
			if err != nil {
				t.Error(err)
				return
			}
			defer follow.Stop()
			for _, wanted := range order[start+1:] {
				event := <-follow.ResultChan()
				seen, isMap := event.Object.(*corev1.ConfigMap)
				if !isMap || seen.ResourceVersion != wanted {
					t.Errorf("watch from %s: %v instead of %s", order[start], event.Object, wanted)
					return
				}
			}
		})
	}
	group.Wait()
}

// client-go's own watchers: the retrying one, and the helper that lists first.
func TestWatchTools(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ConfigMaps(namespace)
	listed, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.TimeoutSeconds = pointer(int64(1)) // it has to come again and again
			return client.Watch(ctx, options)
		},
	}
	retrying, err := watchtools.NewRetryWatcherWithContext(t.Context(), listed.ResourceVersion, source)
	must(t, err)
	t.Cleanup(retrying.Stop)
	for _, name := range []string{"a", "b"} {
		_, err = client.Create(t.Context(), configMap(name, nil), metav1.CreateOptions{})
		must(t, err)
		expectEvent(t, retrying, watch.Added, name)
		time.Sleep(1200 * time.Millisecond) // past the end of the watch that was open
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = watchtools.UntilWithSync(ctx, source, &corev1.ConfigMap{}, nil, func(event watch.Event) (bool, error) {
		return event.Object.(*corev1.ConfigMap).Name == "b", nil
	})
	must(t, err)
}

// A reflector with WatchList: streamed initial objects, the bookmark that ends them, typed and as metadata only.
func TestWatchList(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().Secrets(namespace)
	for i := range 5 {
		_, err := client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%d", i)}}, metav1.CreateOptions{})
		must(t, err)
	}
	options := metav1.ListOptions{SendInitialEvents: pointer(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
	follow, err := client.Watch(t.Context(), options)
	must(t, err)
	names := []string{}
	for {
		event := nextEvent(t, follow)
		secret := event.Object.(*corev1.Secret)
		if event.Type == watch.Bookmark && secret.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
			break
		}
		names = append(names, secret.Name)
	}
	slices.Sort(names)
	equal(t, "streamed", strings.Join(names, " "), "s0 s1 s2 s3 s4")
	follow.Stop()

	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	reflector := cache.NewReflector(cache.NewListWatchFromClient(typed.CoreV1().RESTClient(), "secrets", namespace, fields.Everything()), &corev1.Secret{}, store, 0)
	go reflector.RunWithContext(t.Context())
	eventually(t, "the store is full", func(context.Context) (bool, error) { return len(store.List()) == 5, nil })

	partial, err := metadata.NewForConfig(config)
	must(t, err)
	stream, err := partial.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace).Watch(t.Context(), options)
	must(t, err)
	t.Cleanup(stream.Stop)
	seen := nextEvent(t, stream)
	_, isPartial := seen.Object.(*metav1.PartialObjectMetadata)
	check(t, isPartial && seen.Type == watch.Added, "metadata event %s %T", seen.Type, seen.Object)
}

// Lists in chunks: every page at the first page's version, the number of what remains, and every object once.
func TestListChunks(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().PodTemplates(namespace)
	const total, limit = 40, 7
	for i := range total {
		_, err := client.Create(t.Context(), &corev1.PodTemplate{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("template-%04d", i)},
			Template:   corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}}},
		}, metav1.CreateOptions{})
		must(t, err)
	}
	options := metav1.ListOptions{Limit: limit}
	seen, version := 0, ""
	for {
		page, err := client.List(t.Context(), options)
		must(t, err)
		for _, item := range page.Items {
			equal(t, "name", item.Name, fmt.Sprintf("template-%04d", seen))
			seen++
		}
		if version == "" {
			version = page.ResourceVersion
			must(t, client.Delete(t.Context(), "template-0039", metav1.DeleteOptions{}))
		}
		equal(t, "version", page.ResourceVersion, version)
		if page.Continue == "" {
			equal[*int64](t, "remaining", page.RemainingItemCount, nil)
			break
		}
		equal(t, "remaining", *page.RemainingItemCount, int64(total-seen))
		options.Continue = page.Continue
	}
	equal(t, "seen", seen, total)
	whole, err := client.List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	must(t, err)
	equal(t, "whole list", len(whole.Items), total-1)
	options.Continue = "nonsense"
	_, err = client.List(t.Context(), options)
	check(t, apierrors.IsBadRequest(err), "nonsense token: %v", err)
	for _, options := range []metav1.ListOptions{
		{ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatchExact},
		{ResourceVersion: version, Limit: 100},
	} {
		past, err := client.List(t.Context(), options)
		must(t, err)
		equal(t, "objects at an earlier version", len(past.Items), total)
		equal(t, "version", past.ResourceVersion, version)
	}
}

// Tables for pods, nodes and pages of pod templates, as kubectl asks for them.
func TestTables(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-1"},
		Spec:       corev1.PodSpec{NodeSelector: map[string]string{"nowhere": "x"}, Containers: []corev1.Container{{Name: "pod-1", Image: "pause"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	get := func(request *rest.Request) *metav1.Table {
		table := &metav1.Table{}
		must(t, request.SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(table))
		return table
	}
	pod := get(typed.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name("pod-1"))
	check(t, len(pod.ColumnDefinitions) > 2 && len(pod.Rows) == 1, "table %v", pod)
	equal[any](t, "first cell", pod.Rows[0].Cells[0], "pod-1")
	equal(t, "first column", pod.ColumnDefinitions[0].Name, "Name")
	check(t, pod.ResourceVersion != "", "no version")
	nodes := get(typed.CoreV1().RESTClient().Get().Resource("nodes"))
	check(t, len(nodes.Rows) >= 2 && len(nodes.Rows[0].Cells) == len(nodes.ColumnDefinitions), "nodes %v", nodes)
	services := get(typed.CoreV1().RESTClient().Get().Namespace("default").Resource("services").Param("limit", "1"))
	equal(t, "services", len(services.Rows), 1)
}

func TestWatchOfOldVersionIsRefused(t *testing.T) {
	t.Parallel()
	follow, err := typed.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "999999999"})
	if err == nil {
		follow.Stop()
		return
	}
	var status apierrors.APIStatus
	check(t, errors.As(err, &status) && status.Status().Code == 504, "watch from the future: %v", err)
}

// A patch of a node's metadata and status, and that its own kubelet lets them be.
func TestListNodes(t *testing.T) {
	t.Parallel()
	client := typed.CoreV1().Nodes()
	var listed *corev1.NodeList
	eventually(t, "both nodes", func(ctx context.Context) (done bool, err error) {
		listed, err = client.List(ctx, metav1.ListOptions{FieldSelector: "spec.unschedulable=false"})
		return err == nil && len(listed.Items) >= 2, err
	})
	name := listed.Items[0].Name
	patched, err := client.Patch(t.Context(), name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"suite-patched":"yes"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "label", patched.Labels["suite-patched"], "yes")
	_, err = client.PatchStatus(t.Context(), name, []byte(`{"status":{"capacity":{"example.com/fake":"3"},"allocatable":{"example.com/fake":"3"}}}`))
	must(t, err)
	read, err := client.Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	amount := read.Status.Allocatable["example.com/fake"]
	equal(t, "extended resource", amount.Value(), 3)
}
