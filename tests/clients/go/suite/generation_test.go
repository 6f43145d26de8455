package suite

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

func simplePod(name, image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: pointer(int64(1)), Containers: []corev1.Container{{Name: "c", Image: image}}}}
}

func podBecomes(t *testing.T, namespace, name, what string, fits func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var last *corev1.Pod
	defer func() {
		if t.Failed() && last != nil {
			t.Logf("%s: %s", name, jsonOf(t, last.Status))
		}
	}()
	eventually(t, what, func(ctx context.Context) (bool, error) {
		read, err := typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = read
		return fits(read), nil
	})
	return last
}

func isRunning(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning }

func changePod(t *testing.T, namespace, name string, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	var changed *corev1.Pod
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		read, err := typed.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(read)
		changed, err = typed.CoreV1().Pods(namespace).Update(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	return changed
}

// Which changes of a pod raise its generation, and that its node says which one it has seen.
func TestGenerationRises(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	pod := simplePod("pod", "pause:1")
	pod.Generation = 100
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "busybox"}}
	pod.Annotations = map[string]string{"fake.mkube.io/run-seconds.init": "0"}
	must(t, makePod(t, namespace, pod))
	equal(t, "generation", podBecomes(t, namespace, "pod", "running", isRunning).Generation, 1)
	wanted := int64(1)
	for _, step := range []struct {
		what   string
		change func(*corev1.Pod)
		raises bool
	}{
		{"nothing", func(*corev1.Pod) {}, false},
		{"tolerations", func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "foo", Operator: "Equal", Value: "bar", Effect: "NoSchedule"}}
		}, true},
		{"deadline", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = pointer(int64(5000)) }, true},
		{"image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "nginx" }, true},
		{"image of an init container", func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "pause" }, true},
		{"annotations", func(p *corev1.Pod) { p.SetAnnotations(map[string]string{"key": "value"}) }, false},
		{"generation", func(p *corev1.Pod) { p.SetGeneration(1) }, false},
	} {
		changePod(t, namespace, "pod", step.change)
		if step.raises {
			wanted++
		}
		seen := podBecomes(t, namespace, "pod", step.what+" is seen", func(p *corev1.Pod) bool { return p.Status.ObservedGeneration == wanted })
		equal(t, "generation after a change of "+step.what, seen.Generation, wanted)
	}
	var answer corev1.Pod
	must(t, typed.CoreV1().RESTClient().Delete().AbsPath("/api/v1/namespaces", namespace, "pods", "pod").Param("gracePeriodSeconds", "60").Do(t.Context()).Into(&answer))
	equal(t, "generation of a pod that goes", answer.Generation, wanted+1)
}

// The scheduler says which generation of a pod fits nowhere, and a node that refuses it as well.
func TestGenerationOfRefusedPods(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	pod := simplePod("pod", "pause:1")
	pod.Spec.Containers[0].Resources.Requests = amounts("cpu=1000000000000")
	must(t, makePod(t, namespace, pod))
	waiting := podBecomes(t, namespace, "pod", "unschedulable", func(p *corev1.Pod) bool { return len(p.Status.Conditions) > 0 })
	equal(t, "conditions", len(waiting.Status.Conditions), 1)
	condition := waiting.Status.Conditions[0]
	check(t, condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable && condition.ObservedGeneration == 1, "condition %+v", condition)
	must(t, typed.CoreV1().Pods(namespace).Bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "pod", Namespace: namespace, UID: waiting.UID},
		Target: corev1.ObjectReference{Kind: "Node", Name: nodeNames(t)[0]}}, metav1.CreateOptions{}))
	refused := podBecomes(t, namespace, "pod", "refused", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "OutOfcpu" })
	check(t, refused.Generation == 1 && refused.Status.ObservedGeneration == 1, "generation %d, observed %d", refused.Generation, refused.Status.ObservedGeneration)
}

// Each condition of a pod says which generation it is about.
func TestGenerationOfConditions(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	must(t, makePod(t, namespace, simplePod("pod", "missing.invalid/absent")))
	for generation := range int64(2) {
		for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
			podBecomes(t, namespace, "pod", fmt.Sprint(kind, " of generation ", generation+1), func(p *corev1.Pod) bool {
				return generationOf(p, kind) == generation+1
			})
		}
		changePod(t, namespace, "pod", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "agnhost" })
	}
	must(t, typed.CoreV1().Pods(namespace).Delete(t.Context(), "pod", *metav1.NewDeleteOptions(0)))

	held := simplePod("held", "pause:1")
	held.Finalizers = []string{"example.com/hold"}
	must(t, makePod(t, namespace, held))
	podBecomes(t, namespace, "held", "running", isRunning)
	must(t, typed.CoreV1().Pods(namespace).EvictV1(t.Context(), evictionOf(namespace, "held")))
	evicted := podBecomes(t, namespace, "held", "told why it goes", func(p *corev1.Pod) bool { return podIs(*p, corev1.DisruptionTarget) })
	equal(t, "generation of DisruptionTarget", generationOf(evicted, corev1.DisruptionTarget), 1)
	_, err := typed.CoreV1().Pods(namespace).Patch(t.Context(), "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	must(t, err)
}

func generationOf(pod *corev1.Pod, kind corev1.PodConditionType) int64 {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == kind {
			return condition.ObservedGeneration
		}
	}
	return 0
}

func evictionOf(namespace, name string) *policyv1.Eviction {
	return &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
}
