package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

func daemonSetOf(name, label string) *appsv1.DaemonSet {
	labels := map[string]string{"daemonset-name": label}
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "httpd:1", Ports: []corev1.ContainerPort{{ContainerPort: 9376}}}}}},
	}}
}

// nodeNames are the nodes that a daemon runs on.
func nodeNames(t *testing.T) []string {
	t.Helper()
	nodes, err := typed.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	names := []string{}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0 {
				names = append(names, node.Name)
			}
		}
	}
	return names
}

// daemonRunsOn waits until one ready pod of the set runs on each of the nodes, and nowhere else.
func daemonRunsOn(t *testing.T, namespace string, set *appsv1.DaemonSet, nodes func() []string) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	eventually(t, "the daemon's pods", func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		pods = listed.Items
		counts := map[string]int{}
		for _, pod := range pods {
			if metav1.IsControlledBy(&pod, set) && pod.DeletionTimestamp == nil && podIs(pod, corev1.PodReady) {
				counts[pod.Spec.NodeName]++
			}
		}
		wanted := nodes()
		for _, node := range wanted {
			if counts[node] != 1 {
				return false, nil
			}
		}
		return len(counts) == len(wanted), nil
	})
	return pods
}

// templatePatch is what a revision of the set's template holds, as Kubernetes' own clients work it out from the set.
func templatePatch(t *testing.T, set *appsv1.DaemonSet) []byte {
	t.Helper()
	var raw map[string]any
	must(t, json.Unmarshal(jsonOf(t, set), &raw))
	template := raw["spec"].(map[string]any)["template"].(map[string]any)
	template["$patch"] = "replace"
	return jsonOf(t, map[string]any{"spec": map[string]any{"template": template}})
}

// currentRevision is the one revision that holds the set's template, byte by byte.
func currentRevision(t *testing.T, client kubernetes.Interface, namespace, label string, set *appsv1.DaemonSet, count int) *appsv1.ControllerRevision {
	t.Helper()
	read, err := client.AppsV1().DaemonSets(namespace).Get(t.Context(), set.Name, metav1.GetOptions{})
	must(t, err)
	var revisions []appsv1.ControllerRevision
	eventually(t, fmt.Sprintf("%d revisions", count), func(ctx context.Context) (bool, error) {
		listed, err := client.AppsV1().ControllerRevisions(namespace).List(ctx, metav1.ListOptions{LabelSelector: "daemonset-name=" + label})
		if err != nil {
			return false, err
		}
		revisions = listed.Items
		return len(revisions) == count, nil
	})
	var current *appsv1.ControllerRevision
	wanted := templatePatch(t, read)
	for _, revision := range revisions {
		check(t, revision.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] != "", "%s has no hash", revision.Name)
		if bytes.Equal(revision.Data.Raw, wanted) {
			current = &revision
		}
	}
	if current == nil {
		t.Fatalf("no revision holds\n%s\nbut\n%s", wanted, revisions[0].Data.Raw)
	}
	return current
}

// Revisions hold the template in the bytes that Kubernetes' clients compare with, over JSON and over protobuf.
func TestDaemonRevisions(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().DaemonSets(namespace)
	set, err := client.Create(t.Context(), daemonSetOf("daemon", "revisions"), metav1.CreateOptions{})
	must(t, err)
	podsHave := func(revision *appsv1.ControllerRevision) {
		t.Helper()
		for _, pod := range daemonRunsOn(t, namespace, set, func() []string { return nodeNames(t) }) {
			equal(t, "hash of "+pod.Name, pod.Labels[appsv1.DefaultDaemonSetUniqueLabelKey], revision.Labels[appsv1.DefaultDaemonSetUniqueLabelKey])
		}
	}
	asJSON := *config
	asJSON.ContentType = "application/json"
	asProtobuf := *config
	asProtobuf.ContentType = "application/vnd.kubernetes.protobuf"
	for _, form := range []*kubernetes.Clientset{kubernetes.NewForConfigOrDie(&asJSON), kubernetes.NewForConfigOrDie(&asProtobuf)} {
		first := currentRevision(t, form, namespace, "revisions", set, 1)
		equal(t, "revision", first.Revision, 1)
		podsHave(first)
	}
	_, err = client.Patch(t.Context(), "daemon", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"agnhost:2","args":["<&>","é"]}]}}}}`), metav1.PatchOptions{})
	must(t, err)
	eventually(t, "new images, one unavailable at most", func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		unavailable, updated := 0, 0
		for _, pod := range listed.Items {
			if !podIs(pod, corev1.PodReady) {
				unavailable++
			}
			if pod.Spec.Containers[0].Image == "agnhost:2" {
				updated++
			}
		}
		check(t, unavailable <= 1, "%d unavailable", unavailable)
		return updated == len(nodeNames(t)), nil
	})
	second := currentRevision(t, typed, namespace, "revisions", set, 2)
	equal(t, "revision", second.Revision, 2)
	podsHave(second)
}

// A daemon follows the labels of nodes.
func TestDaemonFollowsLabels(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().DaemonSets(namespace)
	key := unique("color")
	wanted := daemonSetOf("daemon", "complex")
	wanted.Spec.Template.Spec.NodeSelector = map[string]string{key: "blue"}
	set, err := client.Create(t.Context(), wanted, metav1.CreateOptions{})
	must(t, err)
	node := nodeNames(t)[0]
	runsOn := func(names ...string) {
		t.Helper()
		daemonRunsOn(t, namespace, set, func() []string { return names })
		read, err := client.Get(t.Context(), "daemon", metav1.GetOptions{})
		must(t, err)
		check(t, read.Status.DesiredNumberScheduled == read.Status.CurrentNumberScheduled, "status %+v", read.Status)
	}
	runsOn()
	paint := func(color string) {
		must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
			read, err := typed.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
			must(t, err)
			delete(read.Labels, key)
			if color != "" {
				read.Labels[key] = color
			}
			_, err = typed.CoreV1().Nodes().Update(t.Context(), read, metav1.UpdateOptions{})
			return err
		}))
	}
	t.Cleanup(func() {
		_, _ = typed.CoreV1().Nodes().Patch(context.Background(), node, types.MergePatchType, []byte(`{"metadata":{"labels":{"`+key+`":null}}}`), metav1.PatchOptions{})
	})
	paint("blue")
	runsOn(node)
	paint("green")
	runsOn()
	set, err = client.Patch(t.Context(), "daemon", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"`+key+`":"green"}}},"updateStrategy":{"type":"RollingUpdate"}}}`), metav1.PatchOptions{})
	must(t, err)
	runsOn(node)
}

// Going back in the middle of a rollout restarts no pod that still has the old template.
func TestDaemonRollsBack(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	set, err := typed.AppsV1().DaemonSets(namespace).Create(t.Context(), daemonSetOf("daemon", "back"), metav1.CreateOptions{})
	must(t, err)
	all := func() []string { return nodeNames(t) }
	daemonRunsOn(t, namespace, set, all)
	change := func(image string) {
		t.Helper()
		must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
			read, err := typed.AppsV1().DaemonSets(namespace).Get(t.Context(), "daemon", metav1.GetOptions{})
			must(t, err)
			read.Spec.Template.Spec.Containers[0].Image = image
			_, err = typed.AppsV1().DaemonSets(namespace).Update(t.Context(), read, metav1.UpdateOptions{})
			return err
		}))
	}
	change("foo:non-existent")
	existing := map[string]bool{}
	eventually(t, "a new pod", func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "daemonset-name=back"})
		if err != nil {
			return false, err
		}
		clear(existing)
		for _, pod := range listed.Items {
			if pod.Spec.Containers[0].Image == "httpd:1" {
				existing[pod.Name] = true
			}
		}
		return len(listed.Items) > len(existing), nil
	})
	check(t, len(existing) >= 1, "no pod is left of the old template")
	change("httpd:1")
	eventually(t, "the old image everywhere", func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "daemonset-name=back"})
		if err != nil {
			return false, err
		}
		for _, pod := range listed.Items {
			if pod.Spec.Containers[0].Image != "httpd:1" {
				return false, nil
			}
		}
		return len(listed.Items) == len(all()), nil
	})
	for _, pod := range daemonRunsOn(t, namespace, set, all) {
		delete(existing, pod.Name)
	}
	equal(t, "pods that were restarted", len(existing), 0)
	revision := currentRevision(t, typed, namespace, "back", set, 2)
	equal(t, "revision", revision.Revision, 3)
}

// What a test writes into a daemon set's status is seen, and its failed pods are replaced.
func TestDaemonStatus(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().DaemonSets(namespace)
	listed, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	set, err := client.Create(t.Context(), daemonSetOf("daemon", "status"), metav1.CreateOptions{})
	must(t, err)
	all := func() []string { return nodeNames(t) }
	pods := daemonRunsOn(t, namespace, set, all)
	victim := pods[0]
	victim.ResourceVersion, victim.Status.Phase = "", corev1.PodFailed
	_, err = typed.CoreV1().Pods(namespace).UpdateStatus(t.Context(), &victim, metav1.UpdateOptions{})
	must(t, err)
	daemonRunsOn(t, namespace, set, all)
	eventually(t, "the failed pod is gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Pods(namespace).Get(ctx, victim.Name, metav1.GetOptions{})
		return gone(err)
	})
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), "daemon", metav1.GetOptions{})
		must(t, err)
		read.Status.Conditions = append(read.Status.Conditions, appsv1.DaemonSetCondition{Type: "StatusUpdate", Status: "True", Reason: "E2E", Message: "Set from a test"})
		_, err = client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	conditions := func(wanted string) func(runtime.Object) bool {
		return func(o runtime.Object) bool {
			for _, condition := range o.(*appsv1.DaemonSet).Status.Conditions {
				if string(condition.Type) == wanted {
					return true
				}
			}
			return false
		}
	}
	following := follow(t, listed.ResourceVersion, "daemonset-name=status", client.Watch)
	following.sees("update", "", conditions("StatusUpdate"))
	_, err = client.Patch(t.Context(), "daemon", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatched","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	following.sees("patch", "", conditions("StatusPatched"))
	// kept by the controller, which writes counts only
	read, err := client.Get(t.Context(), "daemon", metav1.GetOptions{})
	must(t, err)
	check(t, conditions("StatusPatched")(read), "conditions %v", read.Status.Conditions)
}

// Revisions by hand: patched, relabelled, replaced with another number, and made again by the controller when deleted.
func TestDaemonRevisionLife(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	label := unique("cr")
	set, err := typed.AppsV1().DaemonSets(namespace).Create(t.Context(), daemonSetOf("daemon", label), metav1.CreateOptions{})
	must(t, err)
	daemonRunsOn(t, namespace, set, func() []string { return nodeNames(t) })
	client, selector := typed.AppsV1().ControllerRevisions(namespace), "daemonset-name="+label
	everywhere, err := typed.AppsV1().ControllerRevisions("").List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	must(t, err)
	if len(everywhere.Items) != 1 {
		t.Fatalf("%d revisions", len(everywhere.Items))
	}
	first := everywhere.Items[0]
	check(t, metav1.IsControlledBy(&first, set), "owners %v", first.OwnerReferences)
	patched, err := client.Patch(t.Context(), first.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"`+first.Name+`":"patched"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "label", patched.Labels[first.Name], "patched")
	second := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "new", Namespace: namespace, Labels: map[string]string{"daemonset-name": label},
		OwnerReferences: first.OwnerReferences}, Data: first.Data, Revision: first.Revision + 1}
	made, err := client.Create(t.Context(), second, metav1.CreateOptions{})
	must(t, err)
	equal(t, "revision", made.Revision, 2)
	count := func(selector string, wanted int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d revisions", wanted), func(ctx context.Context) (bool, error) {
			listed, err := client.List(ctx, metav1.ListOptions{LabelSelector: selector})
			return err == nil && len(listed.Items) == wanted, err
		})
	}
	must(t, client.Delete(t.Context(), first.Name, metav1.DeleteOptions{}))
	eventually(t, "the revision is gone", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, first.Name, metav1.GetOptions{})
		return gone(err)
	})
	count(selector, 1)
	listed, err := client.List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	must(t, err)
	current := listed.Items[0]
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), current.Name, metav1.GetOptions{})
		must(t, err)
		read.Labels[current.Name] = "updated"
		_, err = client.Update(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	_, err = typed.AppsV1().DaemonSets(namespace).Patch(t.Context(), "daemon", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1}},"updateStrategy":{"type":"RollingUpdate"}}}`), metav1.PatchOptions{})
	must(t, err)
	count(selector, 2)
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: current.Name + "=updated"}))
	count(selector, 1)
	listed, err = client.List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	must(t, err)
	check(t, listed.Items[0].Revision == current.Revision+1, "revision %d after %d", listed.Items[0].Revision, current.Revision)
	must(t, typed.AppsV1().DaemonSets(namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}))
	_, err = typed.AppsV1().DaemonSets(namespace).Get(t.Context(), "daemon", metav1.GetOptions{})
	check(t, err == nil || apierrors.IsNotFound(err), "after deletion: %v", err)
	podsBecome(t, namespace, 0)
}
