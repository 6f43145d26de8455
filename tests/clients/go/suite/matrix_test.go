package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/x509/pkix"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// A row of testdata/matrix.yaml.
type row struct {
	Resource   string            `json:"resource"`
	Namespaced bool              `json:"namespaced"`
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels"`
	Object     map[string]any    `json:"object"`
	Change     map[string]any    `json:"change"`
	Status     map[string]any    `json:"status"`
	Collection *bool             `json:"collection"`
	// Transient says that a controller soon puts the status right again, so that only the answer shows the change.
	Transient bool `json:"transient"`
	// OwnMetadata says that a write of the status changes no metadata.
	OwnMetadata bool `json:"ownMetadata"`
}

const matrixLabel = "suite.example.com/matrix"

func (r row) gvr() schema.GroupVersionResource {
	parts := strings.Split(r.Resource, "/")
	if len(parts) == 2 {
		return schema.GroupVersionResource{Version: parts[0], Resource: parts[1]}
	}
	return schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
}

// kindCase is one row made concrete for one test: its own namespace and label.
type kindCase struct {
	row
	gvr       schema.GroupVersionResource
	namespace string
	label     string
	client    dynamic.ResourceInterface
}

func readRows(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("testdata/matrix.yaml")
	must(t, err)
	var rows []row
	must(t, yaml.UnmarshalStrict(text, &rows))
	return rows
}

func newCase(t *testing.T, r row, namespace, label string) kindCase {
	c := kindCase{row: r, gvr: r.gvr(), namespace: namespace, label: label}
	resources := dyn.Resource(c.gvr)
	c.client = resources
	if r.Namespaced {
		c.client = resources.Namespace(namespace)
	}
	return c
}

// object is the row's object under a name of its own.
func (c kindCase) object(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	material, err := newKeyMaterial(pkix.Name{CommonName: "suite"})
	must(t, err)
	obj := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.Object)}
	obj.SetAPIVersion(c.gvr.GroupVersion().String())
	full := c.Name
	if full == "" {
		full = "NAME"
	}
	obj.SetName(full)
	if c.Namespaced {
		obj.SetNamespace(c.namespace)
	}
	labels := map[string]string{matrixLabel: c.label}
	maps.Copy(labels, c.Labels)
	obj.SetLabels(labels)
	text, err := json.Marshal(obj)
	must(t, err)
	hash := 0
	for _, letter := range c.label + name {
		hash = (hash*31 + int(letter)) % 65000
	}
	text = []byte(strings.NewReplacer(
		"NAMESPACE", c.namespace, "NAME", name, "OWN_REQUEST", base64Text(material.requestPEM),
		"OWN_STUB", base64Text(material.stubDER), "OWN_CA", strings.ReplaceAll(string(material.caPEM), "\n", `\n`),
		"OWN_RANGE", fmt.Sprintf("10.%d.%d.0/24", 64+hash/256%128, hash%256),
		"OWN_IP", fmt.Sprintf("192.168.%d.%d", hash/256, hash%256),
	).Replace(string(text)))
	must(t, json.Unmarshal(text, obj))
	return obj
}

func (c kindCase) patch(t *testing.T, body map[string]any, name string) []byte {
	t.Helper()
	text, err := json.Marshal(body)
	must(t, err)
	return []byte(strings.ReplaceAll(string(text), "NAME", name))
}

func (c kindCase) selector() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: matrixLabel + "=" + c.label}
}

func TestMatrix(t *testing.T) {
	for _, r := range readRows(t) {
		t.Run(strings.ReplaceAll(r.Resource, "/", ":"), func(t *testing.T) {
			t.Parallel()
			namespace := makeNamespace(t)
			name := strings.TrimPrefix(namespace, "suite-")
			t.Run("discovery", func(t *testing.T) { isDiscovered(t, r) })
			t.Run("dynamic", func(t *testing.T) {
				dynamicVerbs(t, newCase(t, r, namespace, name+"d"), "d"+name)
			})
			t.Run("protobuf", func(t *testing.T) {
				protobufVerbs(t, newCase(t, r, namespace, name+"p"), "p"+name)
			})
			t.Run("patches", func(t *testing.T) {
				patches(t, newCase(t, r, namespace, name+"x"), "x"+name)
			})
			if r.Collection == nil || *r.Collection {
				t.Run("collection", func(t *testing.T) {
					collection(t, newCase(t, r, namespace, name+"c"), "c"+name)
				})
			}
		})
	}
}

// isDiscovered looks for the group, its version and the resource in the documents that clients read.
func isDiscovered(t *testing.T, r row) {
	gvr := r.gvr()
	if gvr.Group != "" {
		groups, err := typed.Discovery().ServerGroups()
		must(t, err)
		at := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == gvr.Group })
		check(t, at >= 0, "no group %s", gvr.Group)
		var group metav1.APIGroup
		must(t, typed.Discovery().RESTClient().Get().AbsPath("/apis/"+gvr.Group).Do(t.Context()).Into(&group))
		check(t, slices.ContainsFunc(group.Versions, func(v metav1.GroupVersionForDiscovery) bool {
			return v.Version == gvr.Version && v.GroupVersion == gvr.GroupVersion().String()
		}), "no version %s in %v", gvr.Version, group.Versions)
	}
	list, err := typed.Discovery().ServerResourcesForGroupVersion(gvr.GroupVersion().String())
	must(t, err)
	wanted := []string{gvr.Resource}
	if r.Status != nil {
		wanted = append(wanted, gvr.Resource+"/status")
	}
	for _, name := range wanted {
		at := slices.IndexFunc(list.APIResources, func(found metav1.APIResource) bool { return found.Name == name })
		if at < 0 {
			t.Errorf("no %s in %s", name, gvr.GroupVersion())
			continue
		}
		equal(t, name+" namespaced", list.APIResources[at].Namespaced, r.Namespaced)
		equal(t, name+" kind", list.APIResources[at].Kind, r.Object["kind"].(string))
	}
}

// recorder keeps the kinds of an informer's events, and that versions only grow.
type recorder struct {
	mutex  sync.Mutex
	events string
	last   uint64
	wrong  string
}

func (r *recorder) note(kind string, obj any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events += kind + ","
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	version, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	if err != nil || version < r.last {
		r.wrong = fmt.Sprintf("version %q after %d", accessor.GetResourceVersion(), r.last)
	}
	r.last = version
}

func (r *recorder) OnAdd(obj any, _ bool)  { r.note("add", obj) }
func (r *recorder) OnUpdate(_, newObj any) { r.note("update", newObj) }
func (r *recorder) OnDelete(obj any)       { r.note("delete", obj) }

// expect waits until the events since the last call match, and forgets them.
func (r *recorder) expect(t *testing.T, step, pattern string) {
	t.Helper()
	matches := regexp.MustCompile(pattern)
	eventually(t, "informer events after "+step, func(context.Context) (bool, error) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		if r.wrong != "" {
			return false, fmt.Errorf("%s", r.wrong)
		}
		if !matches.MatchString(r.events) {
			return false, nil
		}
		r.events = ""
		return true, nil
	})
}

func dynamicVerbs(t *testing.T, c kindCase, name string) {
	ctx := t.Context()
	events := &recorder{}
	informer := dynamicinformer.NewFilteredDynamicInformer(dyn, c.gvr, c.namespaceOrAll(), 0, nil,
		func(options *metav1.ListOptions) { options.LabelSelector = c.selector().LabelSelector })
	_, err := informer.Informer().AddEventHandler(events)
	must(t, err)
	go informer.Informer().RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		t.Fatal("the informer did not sync")
	}
	wanted := c.object(t, name)
	made, err := c.client.Create(ctx, wanted, metav1.CreateOptions{FieldValidation: "Strict"})
	must(t, err)
	contains(t, "created", wanted.Object, made.Object)
	check(t, made.GetUID() != "" && made.GetResourceVersion() != "", "no uid or version in %v", made.GetName())
	created := made.GetCreationTimestamp()
	check(t, !created.IsZero(), "no creation time")
	check(t, made.GetManagedFields() != nil, "no managed fields")
	events.expect(t, "create", "^add,(update,)*$")
	_, err = c.client.Create(ctx, wanted, metav1.CreateOptions{})
	check(t, apierrors.IsAlreadyExists(err), "second create: %v", err)

	read, err := c.client.Get(ctx, made.GetName(), metav1.GetOptions{})
	must(t, err)
	contains(t, "read", wanted.Object, read.Object)
	listed, err := c.client.List(ctx, c.selector())
	must(t, err)
	equal(t, "listed", len(listed.Items), 1)
	everywhere, err := dyn.Resource(c.gvr).List(ctx, c.selector())
	must(t, err)
	equal(t, "listed everywhere", len(everywhere.Items), 1)

	stale := read.DeepCopy()
	updated := change(t, c.client, read.GetName(), c.patch(t, c.Change, name), "")
	contains(t, "updated", c.decoded(t, c.Change, name), updated.Object)
	equal(t, "uid after update", updated.GetUID(), made.GetUID())
	events.expect(t, "update", "^(update,)+$")
	stale.SetAnnotations(map[string]string{"stale": "yes"})
	_, err = c.client.Update(ctx, stale, metav1.UpdateOptions{})
	check(t, apierrors.IsConflict(err), "update of an old version: %v", err)

	if c.Status != nil {
		dynamicStatus(t, c, name, events)
	}
	must(t, c.client.Delete(ctx, made.GetName(), metav1.DeleteOptions{}))
	c.waitGone(t, made.GetName())
	events.expect(t, "delete", "^(update,)*delete,$")
}

func dynamicStatus(t *testing.T, c kindCase, name string, events *recorder) {
	before, err := c.client.Get(t.Context(), c.object(t, name).GetName(), metav1.GetOptions{})
	must(t, err)
	body := map[string]any{"status": c.Status}
	updated := change(t, c.client, before.GetName(), c.patch(t, body, name), "status")
	contains(t, "status", c.decoded(t, body, name), updated.Object)
	equal(t, "generation after a change of status", updated.GetGeneration(), before.GetGeneration())
	events.expect(t, "update of status", "^(update,)+$")
	read, err := c.client.Get(t.Context(), before.GetName(), metav1.GetOptions{}, "status")
	must(t, err)
	if !c.Transient {
		contains(t, "status that is read", c.decoded(t, body, name), read.Object)
	}
	contains(t, "spec after a change of status", map[string]any{"spec": before.Object["spec"]}, map[string]any{"spec": read.Object["spec"]})
}

func (c kindCase) namespaceOrAll() string {
	if c.Namespaced {
		return c.namespace
	}
	return ""
}

func (c kindCase) waitGone(t *testing.T, name string) {
	t.Helper()
	eventually(t, "deletion", func(ctx context.Context) (bool, error) {
		_, err := c.client.Get(ctx, name, metav1.GetOptions{})
		return gone(err)
	})
}

func (c kindCase) decoded(t *testing.T, body map[string]any, name string) map[string]any {
	t.Helper()
	var decoded map[string]any
	must(t, json.Unmarshal(c.patch(t, body, name), &decoded))
	return decoded
}

// change updates the whole object as a merge patch says, again when another was quicker.
func change(t *testing.T, client dynamic.ResourceInterface, name string, patch []byte, subresource string) *unstructured.Unstructured {
	t.Helper()
	var updated *unstructured.Unstructured
	under := []string{}
	if subresource != "" {
		under = append(under, subresource)
	}
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := client.Get(t.Context(), name, metav1.GetOptions{}, under...)
		if err != nil {
			return err
		}
		var body map[string]any
		if err := json.Unmarshal(patch, &body); err != nil {
			return err
		}
		mergeInto(read.Object, body)
		updated, err = client.Update(t.Context(), read, metav1.UpdateOptions{}, under...)
		return err
	}))
	return updated
}

func mergeInto(target, patch map[string]any) {
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		existing, wasMap := target[key].(map[string]any)
		switch {
		case isMap && wasMap:
			mergeInto(existing, inner)
		default:
			target[key] = value
		}
	}
}

// contains checks that everything in wanted is in got; got may have more, and its lists another order.
func contains(t *testing.T, what string, wanted, got map[string]any) {
	t.Helper()
	if path, ok := holds(wanted, got); !ok {
		text, _ := json.Marshal(got)
		t.Errorf("%s: %s differs in %s", what, path, text)
	}
}

func holds(wanted, got any) (string, bool) {
	switch wanted := wanted.(type) {
	case map[string]any:
		gotMap, _ := got.(map[string]any)
		for key, value := range wanted {
			if path, ok := holds(value, gotMap[key]); !ok {
				return "." + key + path, false
			}
		}
		return "", true
	case []any:
		gotList, _ := got.([]any)
		for i, value := range wanted {
			if !slices.ContainsFunc(gotList, func(item any) bool { _, ok := holds(value, item); return ok }) {
				return fmt.Sprintf("[%d]", i), false
			}
		}
		return "", true
	default:
		return fmt.Sprintf(" (%v instead of %v)", got, wanted), fmt.Sprint(wanted) == fmt.Sprint(got)
	}
}

// patches sends the change as each kind of patch to an object of its own, and the status likewise.
func patches(t *testing.T, c kindCase, name string) {
	ctx := t.Context()
	for i, kind := range []types.PatchType{types.StrategicMergePatchType, types.MergePatchType, types.JSONPatchType, types.ApplyPatchType} {
		own := fmt.Sprintf("%s%d", name, i)
		made, err := c.client.Create(ctx, c.object(t, own), metav1.CreateOptions{})
		must(t, err)
		contains(t, string(kind), c.decoded(t, c.Change, own), c.send(t, made, kind, c.Change, own).Object)
		if c.Status != nil {
			body := map[string]any{"status": c.Status}
			contains(t, string(kind)+" of status", c.decoded(t, body, own), c.send(t, made, kind, body, own, "status").Object)
			noted := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"patchedstatus": "true"}}}
			patched := c.send(t, made, types.MergePatchType, noted, own, "status")
			equal(t, "annotation by a patch of the status", patched.GetAnnotations()["patchedstatus"] == "true", !c.OwnMetadata)
		}
		zero := int64(0)
		must(t, c.client.Delete(ctx, made.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	}
}

func (c kindCase) send(t *testing.T, made *unstructured.Unstructured, kind types.PatchType, body map[string]any, name string, under ...string) *unstructured.Unstructured {
	t.Helper()
	options := metav1.PatchOptions{FieldValidation: "Strict"}
	data := c.patch(t, body, name)
	switch kind {
	case types.JSONPatchType:
		var operations []map[string]any
		for _, key := range slices.Sorted(maps.Keys(body)) {
			operations = append(operations, jsonPatch("/"+key, c.decoded(t, body, name)[key], made.Object[key])...)
		}
		text, err := json.Marshal(operations)
		must(t, err)
		data = text
	case types.ApplyPatchType:
		options.FieldManager, options.Force = "suite-apply", pointer(true)
		full := &unstructured.Unstructured{Object: c.decoded(t, body, name)}
		if len(under) == 0 && body["metadata"] == nil {
			full = c.object(t, name)
			mergeInto(full.Object, c.decoded(t, body, name))
		}
		full.SetAPIVersion(made.GetAPIVersion())
		full.SetKind(made.GetKind())
		full.SetName(made.GetName())
		full.SetUID(made.GetUID())
		if c.Namespaced {
			full.SetNamespace(c.namespace)
		}
		text, err := full.MarshalJSON()
		must(t, err)
		data = text
	}
	patched, err := c.client.Patch(t.Context(), made.GetName(), kind, data, options, under...)
	if err != nil {
		t.Fatalf("%s %v: %v", kind, under, err)
	}
	return patched
}

// jsonPatch adds the leaves of a tree to an object that may have their parents already.
func jsonPatch(path string, value, existing any) []map[string]any {
	inner, isMap := value.(map[string]any)
	has, _ := existing.(map[string]any)
	if !isMap || has == nil {
		return []map[string]any{{"op": "add", "path": path, "value": value}}
	}
	var operations []map[string]any
	for _, key := range slices.Sorted(maps.Keys(inner)) {
		escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		operations = append(operations, jsonPatch(path+"/"+escaped, inner[key], has[key])...)
	}
	return operations
}

// collection makes three, deletes them by label, and follows that with a watch.
func collection(t *testing.T, c kindCase, name string) {
	ctx := t.Context()
	for i := range 3 {
		_, err := c.client.Create(ctx, c.object(t, fmt.Sprintf("%s%d", name, i)), metav1.CreateOptions{})
		must(t, err)
	}
	listed, err := c.client.List(ctx, c.selector())
	must(t, err)
	equal(t, "listed", len(listed.Items), 3)
	options := c.selector()
	options.ResourceVersion = listed.GetResourceVersion()
	follow, err := c.client.Watch(ctx, options)
	must(t, err)
	defer follow.Stop()
	zero := int64(0)
	must(t, c.client.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &zero}, c.selector()))
	deleted := 0
	for deleted < 3 {
		select {
		case event, open := <-follow.ResultChan():
			if !open {
				t.Fatal("the watch ended")
			}
			if event.Type == watch.Deleted {
				deleted++
			}
		case <-time.After(patience):
			t.Fatalf("saw %d deletions", deleted)
		}
	}
	listed, err = c.client.List(ctx, c.selector())
	must(t, err)
	equal(t, "left", len(listed.Items), 0)
}

// protobufVerbs does the verbs with typed objects in protobuf, watch included.
func protobufVerbs(t *testing.T, c kindCase, name string) {
	ctx := t.Context()
	client := protobufClient(t, c.gvr.GroupVersion())
	wanted, err := scheme.Scheme.New(c.gvr.GroupVersion().WithKind(c.Object["kind"].(string)))
	must(t, err)
	source := c.object(t, name)
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(source.Object, wanted))
	answer := func(request *rest.Request) runtime.Object {
		t.Helper()
		found, err := request.Do(ctx).Get()
		must(t, err)
		return found
	}
	scoped := func(request *rest.Request) *rest.Request {
		return request.NamespaceIfScoped(c.namespace, c.Namespaced).Resource(c.gvr.Resource)
	}
	made := answer(scoped(client.Post()).Body(wanted))
	madeMeta, err := meta.Accessor(made)
	must(t, err)
	options := c.selector()
	options.ResourceVersion = madeMeta.GetResourceVersion()
	options.Watch = true
	follow, err := scoped(client.Get()).VersionedParams(&options, scheme.ParameterCodec).Watch(ctx)
	must(t, err)
	defer follow.Stop()

	read := answer(scoped(client.Get()).Name(madeMeta.GetName()))
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(read)
	must(t, err)
	delete(source.Object, "apiVersion")
	delete(source.Object, "kind")
	contains(t, "read", source.Object, tree)
	readMeta, err := meta.Accessor(read)
	must(t, err)
	readMeta.SetAnnotations(map[string]string{"by": "protobuf"})
	_, err = scoped(client.Put()).Name(madeMeta.GetName()).Body(read).Do(ctx).Get()
	check(t, err == nil || apierrors.IsConflict(err), "update: %v", err)
	listOptions := c.selector()
	list := answer(scoped(client.Get()).VersionedParams(&listOptions, scheme.ParameterCodec))
	equal(t, "listed", meta.LenList(list), 1)
	zero := int64(0)
	must(t, scoped(client.Delete()).Name(madeMeta.GetName()).Body(&metav1.DeleteOptions{GracePeriodSeconds: &zero}).Do(ctx).Error())
	for {
		select {
		case event, open := <-follow.ResultChan():
			if !open || event.Type == watch.Error {
				t.Fatalf("watch: %v", event)
			}
			seen, err := meta.Accessor(event.Object)
			must(t, err)
			equal(t, "name in the watch", seen.GetName(), madeMeta.GetName())
			if event.Type == watch.Deleted {
				return
			}
		case <-time.After(patience):
			t.Fatal("saw no deletion")
		}
	}
}

func protobufClient(t *testing.T, version schema.GroupVersion) rest.Interface {
	t.Helper()
	own := rest.CopyConfig(config)
	own.GroupVersion = &version
	own.APIPath = "/apis"
	if version.Group == "" {
		own.APIPath = "/api"
	}
	own.ContentType = runtime.ContentTypeProtobuf
	own.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(own)
	must(t, err)
	return client
}

func init() {
	utilityMust(apiextensions.AddToScheme(scheme.Scheme))
	utilityMust(apiregistration.AddToScheme(scheme.Scheme))
}

func utilityMust(err error) {
	if err != nil {
		panic(err)
	}
}
