package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/util/retry"
)

// The scale client, which finds the kinds of scale by discovery, for all that can be scaled.
func TestWorkloadScale(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	cached := memory.NewMemCacheClient(discovery.NewDiscoveryClientForConfigOrDie(config))
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	client, err := scale.NewForConfig(config, mapper, dynamicPath, scale.NewDiscoveryScaleKindResolver(cached))
	must(t, err)
	_, err = typed.AppsV1().Deployments(namespace).Create(t.Context(), deploymentOf("d", 1), metav1.CreateOptions{})
	must(t, err)
	_, err = typed.CoreV1().ReplicationControllers(namespace).Create(t.Context(), controllerOf("d", 1), metav1.CreateOptions{})
	must(t, err)
	for _, resource := range []schema.GroupResource{{Group: "apps", Resource: "deployments"}, {Resource: "replicationcontrollers"}} {
		read, err := client.Scales(namespace).Get(t.Context(), resource, "d", metav1.GetOptions{})
		must(t, err)
		equal(t, "replicas", read.Spec.Replicas, 1)
		equal(t, "selector", read.Status.Selector, "app=d")
		read.Spec.Replicas, read.ResourceVersion = 2, ""
		updated, err := client.Scales(namespace).Update(t.Context(), resource, read, metav1.UpdateOptions{})
		must(t, err)
		equal(t, "updated replicas", updated.Spec.Replicas, 2)
		patched, err := client.Scales(namespace).Patch(t.Context(), resource.WithVersion("v1"), "d", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{})
		must(t, err)
		equal(t, "patched replicas", patched.Spec.Replicas, 4)
	}
	body, err := json.Marshal(autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}})
	must(t, err)
	_, err = typed.AppsV1().Deployments(namespace).Patch(t.Context(), "d", types.StrategicMergePatchType, body, metav1.PatchOptions{}, "scale")
	must(t, err)
	read, err := typed.AppsV1().Deployments(namespace).Get(t.Context(), "d", metav1.GetOptions{})
	must(t, err)
	equal(t, "replicas at the end", *read.Spec.Replicas, 3)
}

func dynamicPath(kind schema.GroupVersionKind) string {
	if kind.Group == "" {
		return "/api"
	}
	return "/apis"
}

// A controller takes matching pods without an owner and lets go of those that stop matching.
func TestWorkloadAdoption(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "lone", Labels: map[string]string{"app": "adopt"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}}}
	must(t, makePod(t, namespace, pod))
	_, err := typed.CoreV1().ReplicationControllers(namespace).Create(t.Context(), controllerOf("adopt", 1), metav1.CreateOptions{})
	must(t, err)
	owned := func(wanted bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("owned: %v", wanted), func(ctx context.Context) (bool, error) {
			read, err := typed.CoreV1().Pods(namespace).Get(ctx, "lone", metav1.GetOptions{})
			return err == nil && (len(read.OwnerReferences) == 1) == wanted, err
		})
	}
	owned(true)
	_, err = typed.CoreV1().Pods(namespace).Patch(t.Context(), "lone", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{})
	must(t, err)
	owned(false)
	podsBecome(t, namespace, 2)
}

// What quota keeps a controller from is in its conditions, and goes when it fits.
func TestWorkloadFailureCondition(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	makeQuota(t, namespace, quota("q", "pods=2"))
	uses(t, namespace, "q", "pods=0")
	client := typed.CoreV1().ReplicationControllers(namespace)
	_, err := client.Create(t.Context(), controllerOf("rc", 3), metav1.CreateOptions{})
	must(t, err)
	fails := func(wanted bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("fails: %v", wanted), func(ctx context.Context) (bool, error) {
			read, err := client.Get(ctx, "rc", metav1.GetOptions{})
			if err != nil || read.Status.ObservedGeneration < read.Generation {
				return false, err
			}
			for _, condition := range read.Status.Conditions {
				if condition.Type == corev1.ReplicationControllerReplicaFailure {
					return wanted, nil
				}
			}
			return !wanted, nil
		})
	}
	fails(true)
	_, err = client.Patch(t.Context(), "rc", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{})
	must(t, err)
	fails(false)
}

// Rollouts of a Deployment: rolling, rollover, history that is cut, and Recreate that never runs both.
func TestWorkloadRollouts(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().Deployments(namespace)
	wanted := deploymentOf("d", 3)
	wanted.Spec.RevisionHistoryLimit = pointer(int32(1))
	_, err := client.Create(t.Context(), wanted, metav1.CreateOptions{})
	must(t, err)
	done := func(image string) {
		t.Helper()
		eventually(t, "rolled out "+image, func(ctx context.Context) (bool, error) {
			read, err := client.Get(ctx, "d", metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			status := read.Status
			return status.ObservedGeneration == read.Generation && status.UpdatedReplicas == 3 && status.AvailableReplicas == 3 && status.Replicas == 3 &&
				read.Spec.Template.Spec.Containers[0].Image == image, nil
		})
	}
	for _, image := range []string{"pause:2", "pause:3", "pause:4"} {
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"%s"}]}}}}`, image)
		_, err := client.Patch(t.Context(), "d", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
		done(image)
	}
	eventually(t, "old replica sets are gone", func(ctx context.Context) (bool, error) {
		sets, err := typed.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(sets.Items) == 2, err
	})
	_, err = client.Patch(t.Context(), "d", types.StrategicMergePatchType, []byte(`{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null},"template":{"spec":{"containers":[{"name":"c","image":"pause:5"}]}}}}`), metav1.PatchOptions{})
	must(t, err)
	done("pause:5")
	read, err := client.Get(t.Context(), "d", metav1.GetOptions{})
	must(t, err)
	equal(t, "revision", read.Annotations["deployment.kubernetes.io/revision"], "5")
}

// Stateful sets: order, canary by partition, back again, and deletion as a collection.
func TestWorkloadStateful(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().StatefulSets(namespace)
	labels := map[string]string{"app": "ss"}
	_, err := client.Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "ss", Labels: labels}, Spec: appsv1.StatefulSetSpec{
		Replicas: pointer(int32(3)), ServiceName: "none", Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause:1"}}}},
	}}, metav1.CreateOptions{})
	must(t, err)
	images := func(wanted string) {
		t.Helper()
		eventually(t, "images "+wanted, func(ctx context.Context) (bool, error) {
			seen := []string{}
			for i := range 3 {
				pod, err := typed.CoreV1().Pods(namespace).Get(ctx, fmt.Sprintf("ss-%d", i), metav1.GetOptions{})
				if isThere, err := found(err); !isThere {
					return false, err
				}
				if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
					return false, nil
				}
				seen = append(seen, strings.TrimPrefix(pod.Spec.Containers[0].Image, "pause:"))
			}
			return strings.Join(seen, "") == wanted, nil
		})
	}
	images("111")
	roll := func(partition int, image string) {
		patch := fmt.Sprintf(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":%d}},"template":{"spec":{"containers":[{"name":"c","image":"%s"}]}}}}`, partition, image)
		_, err := client.Patch(t.Context(), "ss", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
	}
	roll(2, "pause:2")
	images("112")
	roll(0, "pause:2")
	images("222")
	roll(0, "pause:1")
	images("111")
	eventually(t, "the old revision is current again", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "ss", metav1.GetOptions{})
		return err == nil && read.Status.CurrentRevision == read.Status.UpdateRevision && read.Status.UpdatedReplicas == 3, err
	})
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(1))}, metav1.ListOptions{LabelSelector: "app=ss"}))
	eventually(t, "the pods are gone", func(ctx context.Context) (bool, error) {
		pods, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 0, err
	})
}

// Daemon sets run on each node, replace failed pods and roll.
func TestWorkloadDaemons(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().DaemonSets(namespace)
	labels := map[string]string{"app": "ds"}
	_, err := client.Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "ds", Labels: labels}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause:1"}}}},
	}}, metav1.CreateOptions{})
	must(t, err)
	ready := func() {
		t.Helper()
		eventually(t, "one pod a node", func(ctx context.Context) (bool, error) {
			read, err := client.Get(ctx, "ds", metav1.GetOptions{})
			return err == nil && read.Status.ObservedGeneration == read.Generation && read.Status.NumberAvailable >= 2 &&
				read.Status.NumberAvailable == read.Status.DesiredNumberScheduled && read.Status.UpdatedNumberScheduled == read.Status.DesiredNumberScheduled, err
		})
	}
	ready()
	pods, err := typed.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	victim := pods.Items[0]
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := typed.CoreV1().Pods(namespace).Get(t.Context(), victim.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		read.ResourceVersion, read.Status.Phase = "", corev1.PodFailed
		_, err = typed.CoreV1().Pods(namespace).UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	eventually(t, "the failed pod is gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Pods(namespace).Get(ctx, victim.Name, metav1.GetOptions{})
		return gone(err)
	})
	ready()
	_, err = client.Patch(t.Context(), "ds", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"pause:2"}]}}}}`), metav1.PatchOptions{})
	must(t, err)
	ready()
	revisions, err := typed.AppsV1().ControllerRevisions(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=ds"})
	must(t, err)
	equal(t, "revisions", len(revisions.Items), 2)
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=ds"}))
	podsBecome(t, namespace, 0)
}

// Budgets: their status, and evictions that wait for them.
func TestWorkloadDisruption(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	budgets := typed.PolicyV1().PodDisruptionBudgets(namespace)
	labels := map[string]string{"app": "rc"}
	_, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "pdb"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: pointer(intstr.FromInt32(2)), Selector: &metav1.LabelSelector{MatchLabels: labels}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = typed.CoreV1().ReplicationControllers(namespace).Create(t.Context(), controllerOf("rc", 2), metav1.CreateOptions{})
	must(t, err)
	allowed := func(healthy, disruptions int32) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d healthy, %d disruptions", healthy, disruptions), func(ctx context.Context) (bool, error) {
			read, err := budgets.Get(ctx, "pdb", metav1.GetOptions{})
			return err == nil && read.Status.CurrentHealthy == healthy && read.Status.DisruptionsAllowed == disruptions && read.Status.ObservedGeneration == read.Generation, err
		})
	}
	allowed(2, 0)
	pod := podsBecome(t, namespace, 2)[0].Name
	evict := func() error {
		return typed.CoreV1().Pods(namespace).EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: namespace}})
	}
	err = evict()
	check(t, apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) && apierrors.IsTooManyRequests(err), "eviction: %v", err)
	_, err = budgets.Patch(t.Context(), "pdb", types.MergePatchType, []byte(`{"spec":{"minAvailable":1}}`), metav1.PatchOptions{})
	must(t, err)
	allowed(2, 1)
	must(t, evict())
	eventually(t, "the pod is gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
		return gone(err)
	})
	allowed(2, 1)
	status, err := budgets.Patch(t.Context(), "pdb", types.MergePatchType, []byte(`{"status":{"disruptedPods":{"p":"2026-01-02T03:04:05Z"}}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	check(t, len(status.Status.DisruptedPods) >= 1, "disrupted pods %v", status.Status.DisruptedPods)
}

// A node that no kubelet keeps: it comes, changes, and goes by label.
func TestWorkloadNode(t *testing.T) {
	t.Parallel()
	name := unique("fake-node-")
	client := typed.CoreV1().Nodes()
	made, err := client.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{name: "yes"}}, Status: corev1.NodeStatus{
		Phase: corev1.NodeRunning, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Message: "Set from a test"}}}}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "message", made.Status.Conditions[0].Message, "Set from a test")
	patched, err := client.Patch(t.Context(), name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"true"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "label", patched.Labels["patched"], "true")
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(0))}, metav1.ListOptions{LabelSelector: name}))
	_, err = client.Get(t.Context(), name, metav1.GetOptions{})
	check(t, apierrors.IsNotFound(err), "after deletion: %v", err)
}

// A volume and a claim find each other, and go together.
func TestWorkloadVolumes(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	class := unique("class")
	volumes, claims := typed.CoreV1().PersistentVolumes(), typed.CoreV1().PersistentVolumeClaims(namespace)
	volume, err := volumes.Create(t.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{GenerateName: "pv-", Labels: map[string]string{"suite": class}}, Spec: corev1.PersistentVolumeSpec{
		StorageClassName: class, Capacity: amounts("storage=2Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "e2e-driver-" + class, VolumeHandle: "handle"}}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = claims.Create(t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "pvc"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Resources: corev1.VolumeResourceRequirements{Requests: amounts("storage=1Gi")}}}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the claim is bound", func(ctx context.Context) (bool, error) {
		read, err := claims.Get(ctx, "pvc", metav1.GetOptions{})
		return err == nil && read.Status.Phase == corev1.ClaimBound && read.Spec.VolumeName == volume.Name, err
	})
	must(t, claims.Delete(t.Context(), "pvc", metav1.DeleteOptions{}))
	eventually(t, "the volume is released", func(ctx context.Context) (bool, error) {
		read, err := volumes.Get(ctx, volume.Name, metav1.GetOptions{})
		return err == nil && read.Status.Phase == corev1.VolumeReleased, err
	})
	must(t, volumes.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "suite=" + class}))
	eventually(t, "the volume is gone", func(ctx context.Context) (bool, error) {
		_, err := volumes.Get(ctx, volume.Name, metav1.GetOptions{})
		return gone(err)
	})
}

// Pods: status by patch and update, runtime classes with their overhead, refused sysctls, generation.
func TestWorkloadPods(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	pods := typed.CoreV1().Pods(namespace)
	made, err := pods.Create(t.Context(), podThat("a", "", ""), metav1.CreateOptions{})
	must(t, err)
	equal(t, "generation", made.Generation, 1)
	equal(t, "quality", made.Status.QOSClass, corev1.PodQOSBestEffort)
	patched, err := pods.Patch(t.Context(), "a", types.StrategicMergePatchType, []byte(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":{"message":"Patched by e2e test","reason":"E2E"}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "message", patched.Status.Message, "Patched by e2e test")
	_, err = pods.Patch(t.Context(), "a", types.StrategicMergePatchType, []byte(`{"spec":{"tolerations":[{"key":"x","operator":"Exists"}]}}`), metav1.PatchOptions{})
	must(t, err)
	changed, err := pods.Get(t.Context(), "a", metav1.GetOptions{})
	must(t, err)
	equal(t, "generation after a change", changed.Generation, 2)
	_, err = pods.Patch(t.Context(), "a", types.StrategicMergePatchType, []byte(`{"spec":{"hostname":"x"}}`), metav1.PatchOptions{})
	check(t, apierrors.IsInvalid(err), "change of a hostname: %v", err)
	says(t, err, "pod updates may not change fields other than")

	absent := podThat("b", "", "")
	absent.Spec.RuntimeClassName = pointer("nonexistent")
	err = makePod(t, namespace, absent)
	check(t, apierrors.IsForbidden(err), "unknown runtime class: %v", err)
	class := unique("class-")
	_, err = typed.NodeV1().RuntimeClasses().Create(t.Context(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Handler: "runc",
		Overhead: &nodev1.Overhead{PodFixed: amounts("cpu=10m memory=1Mi")}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = typed.NodeV1().RuntimeClasses().Delete(context.Background(), class, metav1.DeleteOptions{})
	})
	present := podThat("c", "", "")
	present.Spec.RuntimeClassName = &class
	withOverhead, err := pods.Create(t.Context(), present, metav1.CreateOptions{})
	must(t, err)
	overhead := withOverhead.Spec.Overhead[corev1.ResourceCPU]
	equal(t, "overhead", overhead.Cmp(resource.MustParse("10m")), 0)

	sysctls := podThat("d", "", "")
	sysctls.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{
		{Name: "foo-", Value: "bar"}, {Name: "kernel.shmmax", Value: "100000000"}, {Name: "safe-and-unsafe", Value: "100000000"}, {Name: "bar..", Value: "42"}}}
	err = makePod(t, namespace, sysctls)
	says(t, err, `Invalid value: "foo-"`)
	says(t, err, `Invalid value: "bar.."`)
	check(t, !strings.Contains(err.Error(), "safe-and-unsafe") && !strings.Contains(err.Error(), "kernel.shmmax"), "too much is refused: %v", err)
	must(t, pods.DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(0))}, metav1.ListOptions{}))
	podsBecome(t, namespace, 0)
}

// Times of a lease are what was written, also those that count from the first second of the year 1.
func TestWorkloadLease(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoordinationV1().Leases(namespace)
	at := func(seconds int) *metav1.MicroTime {
		return &metav1.MicroTime{Time: time.Time{}.Add(time.Duration(seconds) * time.Second)}
	}
	written := coordinationv1.LeaseSpec{HolderIdentity: pointer("holder"), LeaseDurationSeconds: pointer(int32(30)), AcquireTime: at(2), RenewTime: at(5), LeaseTransitions: pointer(int32(0))}
	made, err := client.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "lease"}, Spec: written}, metav1.CreateOptions{})
	must(t, err)
	reads := func(wanted coordinationv1.LeaseSpec) {
		t.Helper()
		read, err := client.Get(t.Context(), "lease", metav1.GetOptions{})
		must(t, err)
		check(t, apiequality.Semantic.DeepEqual(wanted, read.Spec), "%v, not %v", read.Spec, wanted)
	}
	reads(written)
	made.Spec.RenewTime, made.Spec.LeaseTransitions = at(70), pointer(int32(1))
	_, err = client.Update(t.Context(), made, metav1.UpdateOptions{})
	must(t, err)
	reads(made.Spec)
}
