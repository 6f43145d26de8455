package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
)

func jsonOf(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	return data
}

func replicaSetOf(name string, replicas int32, labels map[string]string) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: appsv1.ReplicaSetSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: pointer(int64(0)), Containers: []corev1.Container{{Name: "old", Image: "httpd:1"}}}}}}
}

// changeDeployment updates with the object that the server gives, again after a conflict.
func changeDeployment(t *testing.T, namespace, name string, change func(*appsv1.Deployment)) *appsv1.Deployment {
	t.Helper()
	var changed *appsv1.Deployment
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := typed.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(read)
		changed, err = typed.AppsV1().Deployments(namespace).Update(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	return changed
}

func deploymentBecomes(t *testing.T, namespace, name, what string, fits func(*appsv1.Deployment) bool) *appsv1.Deployment {
	t.Helper()
	var last *appsv1.Deployment
	defer func() {
		if t.Failed() && last != nil {
			t.Logf("%s: %+v", last.Name, last.Status)
		}
	}()
	eventually(t, what, func(ctx context.Context) (bool, error) {
		read, err := typed.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = read
		return fits(read), nil
	})
	return last
}

func isComplete(d *appsv1.Deployment) bool {
	wanted := *d.Spec.Replicas
	return d.Status.UpdatedReplicas == wanted && d.Status.Replicas == wanted && d.Status.AvailableReplicas == wanted && d.Status.ObservedGeneration >= d.Generation
}

const revisionKey = "deployment.kubernetes.io/revision"

// newSet is the replica set with the Deployment's template, found as Kubernetes' clients find it.
func newSet(t *testing.T, namespace string, d *appsv1.Deployment) *appsv1.ReplicaSet {
	t.Helper()
	var result *appsv1.ReplicaSet
	eventually(t, "the new replica set", func(ctx context.Context) (bool, error) {
		read, err := typed.AppsV1().Deployments(namespace).Get(ctx, d.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		sets, err := typed.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, set := range sets.Items {
			if !metav1.IsControlledBy(&set, d) {
				continue
			}
			template := set.Spec.Template.DeepCopy()
			delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
			if bytes.Equal(jsonOf(t, template), jsonOf(t, read.Spec.Template)) {
				result = &set
				return true, nil
			}
		}
		return false, nil
	})
	return result
}

func setBecomes(t *testing.T, namespace, name, what string, fits func(*appsv1.ReplicaSet) bool) *appsv1.ReplicaSet {
	t.Helper()
	var last *appsv1.ReplicaSet
	defer func() {
		if t.Failed() && last != nil {
			t.Logf("%s: wants %d, %+v", last.Name, *last.Spec.Replicas, last.Status)
		}
	}()
	eventually(t, what, func(ctx context.Context) (bool, error) {
		read, err := typed.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = read
		return fits(read), nil
	})
	return last
}

// A Deployment takes over a replica set with the highest revision that it finds, and counts on from there.
func TestRolloutAdoptsRevision(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	set := replicaSetOf("adopted", 1, map[string]string{"name": "sample", "pod": "httpd"})
	set.Annotations = map[string]string{revisionKey: "3546343826724305832"}
	_, err := typed.AppsV1().ReplicaSets(namespace).Create(t.Context(), set, metav1.CreateOptions{})
	must(t, err)
	podsRun(t, namespace, "name=sample", 1)
	d := deploymentOf("sample", 1)
	d.Spec.Selector.MatchLabels, d.Spec.Template.Labels = map[string]string{"name": "sample"}, map[string]string{"name": "sample"}
	_, err = typed.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	read := deploymentBecomes(t, namespace, "sample", "the next revision", func(d *appsv1.Deployment) bool {
		return d.Annotations[revisionKey] == "3546343826724305833"
	})
	current := newSet(t, namespace, read)
	equal(t, "revision of the new set", current.Annotations[revisionKey], "3546343826724305833")
	hash := current.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	check(t, hash != "" && current.Spec.Selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] == hash && current.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == hash, "hash %q in %v", hash, current.Spec)
	deploymentBecomes(t, namespace, "sample", "complete", isComplete)
	old, err := typed.AppsV1().ReplicaSets(namespace).Get(t.Context(), "adopted", metav1.GetOptions{})
	must(t, err)
	check(t, metav1.IsControlledBy(old, read), "the old set is not adopted")
}

// With a history limit of 0 the adopted replica set goes; it makes no pod of its own meanwhile.
func TestRolloutCleansUp(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.AppsV1().ReplicaSets(namespace).Create(t.Context(), replicaSetOf("old", 1, map[string]string{"app": "cleanup", "pod": "httpd"}), metav1.CreateOptions{})
	must(t, err)
	podsRun(t, namespace, "app=cleanup", 1)
	listed, err := typed.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	watching, err := typed.CoreV1().Pods(namespace).Watch(t.Context(), metav1.ListOptions{ResourceVersion: listed.ResourceVersion})
	must(t, err)
	defer watching.Stop()
	d := deploymentOf("cleanup", 1)
	d.Spec.RevisionHistoryLimit = pointer(int32(0))
	_, err = typed.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "no old replica sets", func(ctx context.Context) (bool, error) {
		sets, err := typed.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(sets.Items) == 1 && sets.Items[0].Name != "old", err
	})
	must(t, makePod(t, namespace, podThat("last", "", "")))
	added := []string{}
	stream{t, watching}.next("the last pod", func(event watch.Event) bool {
		pod := event.Object.(*corev1.Pod)
		if event.Type == watch.Added && pod.Name != "last" {
			added = append(added, pod.Spec.Containers[0].Name)
		}
		return pod.Name == "last"
	})
	check(t, len(added) == 1 && added[0] == "c", "pods made: %v", added)
}

// A rollout that hangs is rolled over by the next one, although pods must be ready for a while.
func TestRolloutIsRolledOver(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.AppsV1().ReplicaSets(namespace).Create(t.Context(), replicaSetOf("first", 1, map[string]string{"app": "rollover", "pod": "httpd"}), metav1.CreateOptions{})
	must(t, err)
	setBecomes(t, namespace, "first", "ready", func(set *appsv1.ReplicaSet) bool { return set.Status.ReadyReplicas == 1 })
	d := deploymentOf("rollover", 1)
	d.Spec.Template.Spec.Containers[0].Image = "redis:nonexistent"
	d.Spec.MinReadySeconds = 2
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: pointer(intstr.FromInt32(0)), MaxSurge: pointer(intstr.FromInt32(1))}
	d.Spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	d, err = typed.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	deploymentBecomes(t, namespace, "rollover", "updated replicas", func(d *appsv1.Deployment) bool {
		return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= 1
	})
	second := newSet(t, namespace, d)
	equal(t, "revision", second.Annotations[revisionKey], "1")
	has := func(name string, replicas int32) {
		t.Helper()
		read, err := typed.AppsV1().ReplicaSets(namespace).Get(t.Context(), name, metav1.GetOptions{})
		must(t, err)
		check(t, *read.Spec.Replicas == replicas && read.Status.Replicas == replicas, "%s wants %d and has %d, not %d", name, *read.Spec.Replicas, read.Status.Replicas, replicas)
	}
	has("first", 1)
	has(second.Name, 1)
	changeDeployment(t, namespace, "rollover", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Name, d.Spec.Template.Spec.Containers[0].Image = "agnhost", "agnhost:2"
	})
	deploymentBecomes(t, namespace, "rollover", "revision 2", func(d *appsv1.Deployment) bool { return d.Annotations[revisionKey] == "2" })
	deploymentBecomes(t, namespace, "rollover", "complete, never below", func(d *appsv1.Deployment) bool {
		sets, err := typed.AppsV1().ReplicaSets(namespace).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		wanted := int32(0)
		for _, set := range sets.Items {
			wanted += *set.Spec.Replicas
		}
		check(t, wanted <= 2 && d.Status.AvailableReplicas >= 1, "%d wanted, %d available", wanted, d.Status.AvailableReplicas)
		return isComplete(d)
	})
	has("first", 0)
	has(second.Name, 0)
}

// Scaling in the middle of a rollout is shared among the replica sets: 10 to 30 makes 8+5 to 20+13.
func TestRolloutScalesInProportion(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	d := deploymentOf("web", 10)
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxSurge: pointer(intstr.FromInt32(3)), MaxUnavailable: pointer(intstr.FromInt32(2))}}
	d, err := typed.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	deploymentBecomes(t, namespace, "web", "complete", isComplete)
	first := newSet(t, namespace, d)
	changed := changeDeployment(t, namespace, "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "webserver:404" })
	deploymentBecomes(t, namespace, "web", "observed", func(d *appsv1.Deployment) bool { return d.Status.ObservedGeneration >= changed.Generation })
	settled := func(name string, wanted, available int32) *appsv1.ReplicaSet {
		t.Helper()
		return setBecomes(t, namespace, name, fmt.Sprintf("%s with %d of %d", name, available, wanted), func(set *appsv1.ReplicaSet) bool {
			return *set.Spec.Replicas == wanted && set.Status.Replicas == wanted && set.Status.AvailableReplicas == available && set.Status.ObservedGeneration >= set.Generation
		})
	}
	settled(first.Name, 8, 8)
	second := newSet(t, namespace, d)
	settled(second.Name, 5, 0)
	available := deploymentBecomes(t, namespace, "web", "8 available, 5 not", func(d *appsv1.Deployment) bool {
		return d.Status.AvailableReplicas == 8 && d.Status.UnavailableReplicas == 5
	})
	conditions := map[appsv1.DeploymentConditionType]string{}
	for _, condition := range available.Status.Conditions {
		conditions[condition.Type] = string(condition.Status) + " " + condition.Reason
	}
	equal(t, "Available", conditions[appsv1.DeploymentAvailable], "True MinimumReplicasAvailable")
	changed = changeDeployment(t, namespace, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = pointer(int32(30)) })
	deploymentBecomes(t, namespace, "web", "observed", func(d *appsv1.Deployment) bool { return d.Status.ObservedGeneration >= changed.Generation })
	grown := settled(first.Name, 20, 20)
	equal(t, "desired replicas", grown.Annotations["deployment.kubernetes.io/desired-replicas"], "30")
	equal(t, "max replicas", grown.Annotations["deployment.kubernetes.io/max-replicas"], "33")
	settled(second.Name, 13, 0)
}

// With Recreate no old pod runs beside a new one.
func TestRolloutRecreates(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	d := deploymentOf("recreate", 1)
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	_, err := typed.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	deploymentBecomes(t, namespace, "recreate", "complete", isComplete)
	changed := changeDeployment(t, namespace, "recreate", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "httpd:1" })
	watching, err := typed.AppsV1().Deployments(namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=recreate", ResourceVersion: changed.ResourceVersion})
	must(t, err)
	defer watching.Stop()
	stream{t, watching}.next("complete", func(event watch.Event) bool {
		d := event.Object.(*appsv1.Deployment)
		if d.Status.UpdatedReplicas > 0 && d.Status.Replicas != d.Status.UpdatedReplicas {
			pods, err := typed.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
			must(t, err)
			t.Errorf("%d updated of %d: %d pods", d.Status.UpdatedReplicas, d.Status.Replicas, len(pods.Items))
		}
		return isComplete(d)
	})
}

// The whole life of a Deployment, followed on a watch that begins before it.
func TestRolloutLife(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client, untyped := typed.AppsV1().Deployments(namespace), dyn.Resource(appsv1.SchemeGroupVersion.WithResource("deployments")).Namespace(namespace)
	label := unique("life")
	listed, err := typed.AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{LabelSelector: "static=" + label})
	must(t, err)
	following := follow(t, listed.ResourceVersion, "static="+label, client.Watch)
	shows := func(what string, kind watch.EventType, fits func(*appsv1.Deployment) bool) {
		t.Helper()
		following.sees(what, kind, func(o runtime.Object) bool { d, ok := o.(*appsv1.Deployment); return ok && d.Name == "life" && fits(d) })
	}
	anyOne := func(*appsv1.Deployment) bool { return true }
	d := deploymentOf("life", 2)
	d.Labels = map[string]string{"static": label}
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = pointer(int64(1))
	_, err = client.Create(t.Context(), d, metav1.CreateOptions{})
	must(t, err)
	shows("added", watch.Added, anyOne)
	shows("ready", "", func(d *appsv1.Deployment) bool { return d.Status.ReadyReplicas == 2 })
	_, err = client.Patch(t.Context(), "life", types.StrategicMergePatchType, jsonOf(t, map[string]any{"metadata": map[string]any{"labels": map[string]string{"test": "patched"}},
		"spec": map[string]any{"replicas": 1, "template": map[string]any{"spec": map[string]any{"terminationGracePeriodSeconds": 2, "containers": []any{map[string]string{"name": "c", "image": "pause:2"}}}}}}), metav1.PatchOptions{})
	must(t, err)
	shows("modified", watch.Modified, anyOne)
	shows("scaled", "", func(d *appsv1.Deployment) bool {
		return d.Status.ReadyReplicas == 1 && d.Status.UpdatedReplicas == 1 && d.Status.UnavailableReplicas == 0 && d.Spec.Template.Spec.Containers[0].Image == "pause:2" && *d.Spec.Template.Spec.TerminationGracePeriodSeconds == 2
	})
	listed, err = typed.AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{LabelSelector: "static=" + label})
	must(t, err)
	equal(t, "listed", len(listed.Items), 1)
	d.Labels["test"], d.Spec.Template.Spec.Containers[0].Image = "updated", "httpd:2"
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	must(t, err)
	_, err = untyped.Update(t.Context(), &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{})
	must(t, err)
	following.version = listed.ResourceVersion
	shows("modified again", watch.Modified, anyOne)
	readStatus := func() {
		t.Helper()
		read, err := untyped.Get(t.Context(), "life", metav1.GetOptions{}, "status")
		must(t, err)
		var found appsv1.Deployment
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(read.Object, &found))
		equal(t, "image", found.Spec.Template.Spec.Containers[0].Image, "httpd:2")
		equal(t, "label", found.Labels["test"], "updated")
	}
	readStatus()
	full := func(d *appsv1.Deployment) bool {
		return d.Status.ReadyReplicas == 2 && d.Status.UpdatedReplicas == 2 && d.Status.UnavailableReplicas == 0
	}
	shows("full", "", full)
	_, err = untyped.Patch(t.Context(), "life", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"test":"patched-status"}},"status":{"readyReplicas":0,"availableReplicas":0}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	readStatus()
	shows("full again", "", full)
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(1))}, metav1.ListOptions{LabelSelector: "static=" + label}))
	shows("deleted", watch.Deleted, anyOne)
}

// Conditions that others put into a Deployment's, ReplicaSet's, StatefulSet's or DaemonSet's status are seen by watchers.
func TestRolloutStatusOfOthers(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().Deployments(namespace)
	listed, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	_, err = client.Create(t.Context(), deploymentOf("d", 1), metav1.CreateOptions{})
	must(t, err)
	deploymentBecomes(t, namespace, "d", "complete", isComplete)
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), "d", metav1.GetOptions{})
		must(t, err)
		read.Status.Conditions = append(read.Status.Conditions, appsv1.DeploymentCondition{Type: "StatusUpdate", Status: "True", Reason: "E2E", Message: "Set from a test"})
		_, err = client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	following := follow(t, listed.ResourceVersion, "app=d", client.Watch)
	has := func(kind string) func(runtime.Object) bool {
		return func(o runtime.Object) bool {
			for _, condition := range o.(*appsv1.Deployment).Status.Conditions {
				if string(condition.Type) == kind {
					return true
				}
			}
			return false
		}
	}
	following.sees("update", "", has("StatusUpdate"))
	patched, err := client.Patch(t.Context(), "d", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatched","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "conditions", len(patched.Status.Conditions), 1)
	following.sees("patch", "", has("StatusPatched"))
	deploymentBecomes(t, namespace, "d", "its own conditions again", func(d *appsv1.Deployment) bool { return has("Available")(d) })
}

// The life of a replication controller, each event of one watch used once.
func TestReplicasLifeOfController(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ReplicationControllers(namespace)
	watching, err := client.Watch(t.Context(), metav1.ListOptions{LabelSelector: "static=true"})
	must(t, err)
	defer watching.Stop()
	events := stream{t, watching}
	counts := func(replicas, ready int32) func(watch.Event) bool {
		return func(event watch.Event) bool {
			rc, ok := event.Object.(*corev1.ReplicationController)
			return ok && rc.Status.Replicas == replicas && (ready < 0 || rc.Status.ReadyReplicas == ready)
		}
	}
	wanted := controllerOf("rc", 1)
	wanted.Labels = map[string]string{"static": "true"}
	_, err = client.Create(t.Context(), wanted, metav1.CreateOptions{})
	must(t, err)
	events.next("added", is(watch.Added))
	events.next("ready", counts(1, 1))
	patched, err := client.Patch(t.Context(), "rc", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"test-rc":"patched"}},"spec":{},"status":{"replicas":0}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "label", patched.Labels["test-rc"], "patched")
	equal(t, "replicas after a patch of metadata", patched.Status.Replicas, 1)
	events.next("label", is(watch.Modified))
	status, err := client.Patch(t.Context(), "rc", types.StrategicMergePatchType, []byte(`{"status":{"readyReplicas":0,"availableReplicas":0}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "ready replicas", status.Status.ReadyReplicas, 0)
	events.next("status", is(watch.Modified))
	events.next("counted again", counts(1, -1))
	_, err = client.Patch(t.Context(), "rc", types.StrategicMergePatchType, jsonOf(t, autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 2}}), metav1.PatchOptions{}, "scale")
	must(t, err)
	events.next("scale", is(watch.Modified))
	events.next("scaled", counts(2, 2))
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), "rc", metav1.GetOptions{})
		must(t, err)
		read.Status.AvailableReplicas, read.Status.ReadyReplicas = 1, 1
		_, err = client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	events.next("updated status", is(watch.Modified))
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "static=true"}))
	events.next("deleted", is(watch.Deleted))
}

// A patched replica set replaces nothing by itself, but its counts follow on the watch.
func TestReplicasLifeOfSet(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().ReplicaSets(namespace)
	listed, err := typed.AppsV1().ReplicaSets("").List(t.Context(), metav1.ListOptions{LabelSelector: "test-rs=patched"})
	must(t, err)
	labels := map[string]string{"name": "sample", "pod": "httpd"}
	_, err = client.Create(t.Context(), replicaSetOf("rs", 1, labels), metav1.CreateOptions{})
	must(t, err)
	podsRun(t, namespace, "name=sample", 1)
	_, err = client.Patch(t.Context(), "rs", types.StrategicMergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{})
	must(t, err)
	_, err = client.Patch(t.Context(), "rs", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"test-rs":"patched"}},"spec":{"replicas":3,"template":{"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"rs","image":"pause"}]}}}}`), metav1.PatchOptions{})
	must(t, err)
	follow(t, listed.ResourceVersion, "test-rs=patched", client.Watch).sees("three", "", func(o runtime.Object) bool {
		set, ok := o.(*appsv1.ReplicaSet)
		return ok && set.Status.ReadyReplicas == 3 && set.Status.AvailableReplicas == 3 && set.Spec.Template.Spec.Containers[0].Image == "pause" && *set.Spec.Template.Spec.TerminationGracePeriodSeconds == 0
	})
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), "rs", metav1.GetOptions{})
		must(t, err)
		read.Status.Conditions = append(read.Status.Conditions, appsv1.ReplicaSetCondition{Type: "StatusUpdate", Status: "True", Reason: "E2E", Message: "Set from a test"})
		_, err = client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	conditions := func(wanted string) func(runtime.Object) bool {
		return func(o runtime.Object) bool {
			set := o.(*appsv1.ReplicaSet)
			return len(set.Status.Conditions) > 0 && string(set.Status.Conditions[0].Type) == wanted
		}
	}
	following := follow(t, listed.ResourceVersion, "name=sample", client.Watch)
	following.sees("update", "", conditions("StatusUpdate"))
	_, err = client.Patch(t.Context(), "rs", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatched","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	following.sees("patch", "", conditions("StatusPatched"))
	sets, err := typed.AppsV1().ReplicaSets("").List(t.Context(), metav1.ListOptions{LabelSelector: "test-rs=patched"})
	must(t, err)
	check(t, len(sets.Items) >= 1, "listed %d", len(sets.Items))
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "test-rs=patched"}))
	eventually(t, "no replica sets", func(ctx context.Context) (bool, error) {
		sets, err := client.List(ctx, metav1.ListOptions{LabelSelector: "test-rs=patched"})
		return err == nil && len(sets.Items) == 0, err
	})
}
