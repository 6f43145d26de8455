package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

func controllerOf(name string, replicas int32) *corev1.ReplicationController {
	labels := map[string]string{"app": name}
	return &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ReplicationControllerSpec{
		Replicas: &replicas, Selector: labels, Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}}}}}
}

func deploymentOf(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}}}}}
}

func podsBecome(t *testing.T, namespace string, wanted int) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	eventually(t, fmt.Sprintf("%d pods", wanted), func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		pods = listed.Items
		return len(pods) == wanted, nil
	})
	return pods
}

func propagation(policy metav1.DeletionPropagation, uid types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid}}
}

func TestGarbageInBackground(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ReplicationControllers(namespace)
	made, err := client.Create(t.Context(), controllerOf("rc", 3), metav1.CreateOptions{})
	must(t, err)
	podsBecome(t, namespace, 3)
	wrong := types.UID("wrong")
	err = client.Delete(t.Context(), "rc", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	check(t, apierrors.IsConflict(err), "wrong uid: %v", err)
	must(t, client.Delete(t.Context(), "rc", propagation(metav1.DeletePropagationBackground, made.UID)))
	_, err = client.Get(t.Context(), "rc", metav1.GetOptions{})
	check(t, apierrors.IsNotFound(err), "owner is still there: %v", err)
	podsBecome(t, namespace, 0)
}

func TestGarbageOrphaned(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ReplicationControllers(namespace)
	made, err := client.Create(t.Context(), controllerOf("rc", 5), metav1.CreateOptions{})
	must(t, err)
	podsBecome(t, namespace, 5)
	must(t, client.Delete(t.Context(), "rc", propagation(metav1.DeletePropagationOrphan, made.UID)))
	eventually(t, "the owner is gone", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, "rc", metav1.GetOptions{})
		return gone(err)
	})
	for _, pod := range podsBecome(t, namespace, 5) {
		check(t, len(pod.OwnerReferences) == 0 && pod.DeletionTimestamp == nil, "pod %s has owners %v", pod.Name, pod.OwnerReferences)
	}
}

func TestGarbageOfDeployments(t *testing.T) {
	t.Parallel()
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationOrphan, metav1.DeletePropagationForeground} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			namespace := makeNamespace(t)
			client := typed.AppsV1().Deployments(namespace)
			made, err := client.Create(t.Context(), deploymentOf("d", 2), metav1.CreateOptions{})
			must(t, err)
			podsBecome(t, namespace, 2)
			must(t, client.Delete(t.Context(), "d", propagation(policy, made.UID)))
			eventually(t, "the deployment is gone", func(ctx context.Context) (bool, error) {
				_, err := client.Get(ctx, "d", metav1.GetOptions{})
				return gone(err)
			})
			sets, err := typed.AppsV1().ReplicaSets(namespace).List(t.Context(), metav1.ListOptions{})
			must(t, err)
			switch policy {
			case metav1.DeletePropagationOrphan:
				equal(t, "replica sets", len(sets.Items), 1)
				equal(t, "owners", len(sets.Items[0].OwnerReferences), 0)
				podsBecome(t, namespace, 2)
			case metav1.DeletePropagationForeground:
				equal(t, "replica sets when the owner has gone", len(sets.Items), 0)
			default:
				podsBecome(t, namespace, 0)
			}
		})
	}
}

// In the foreground an owner stays, being deleted, until its dependents are gone.
func TestGarbageInForeground(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ReplicationControllers(namespace)
	made, err := client.Create(t.Context(), controllerOf("rc", 3), metav1.CreateOptions{})
	must(t, err)
	pods := podsBecome(t, namespace, 3)
	_, err = typed.CoreV1().Pods(namespace).Patch(t.Context(), pods[0].Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/hold"]}}`), metav1.PatchOptions{})
	must(t, err)
	must(t, client.Delete(t.Context(), "rc", propagation(metav1.DeletePropagationForeground, made.UID)))
	podsBecome(t, namespace, 1)
	waiting, err := client.Get(t.Context(), "rc", metav1.GetOptions{})
	must(t, err)
	check(t, waiting.DeletionTimestamp != nil && len(waiting.Finalizers) == 1 && waiting.Finalizers[0] == metav1.FinalizerDeleteDependents, "waiting: %v", waiting.ObjectMeta)
	release(t, dyn.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace), pods[0].Name)
	eventually(t, "the owner is gone", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, "rc", metav1.GetOptions{})
		return gone(err)
	})
}

// A dependent with one dying and one living owner stays; three pods that own each other go together.
func TestGarbageOwners(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ReplicationControllers(namespace)
	dying, err := client.Create(t.Context(), controllerOf("dying", 4), metav1.CreateOptions{})
	must(t, err)
	staying, err := client.Create(t.Context(), controllerOf("staying", 0), metav1.CreateOptions{})
	must(t, err)
	pods := podsBecome(t, namespace, 4)
	for _, pod := range pods[:2] {
		patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":"staying","uid":"%s"}]}}`, staying.UID)
		_, err := typed.CoreV1().Pods(namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
	}
	must(t, client.Delete(t.Context(), "dying", propagation(metav1.DeletePropagationForeground, dying.UID)))
	eventually(t, "the owner is gone", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, "dying", metav1.GetOptions{})
		return gone(err)
	})
	for _, pod := range podsBecome(t, namespace, 2) {
		check(t, len(pod.OwnerReferences) == 1 && pod.OwnerReferences[0].UID == staying.UID, "owners %v", pod.OwnerReferences)
	}
}

func TestGarbageCircle(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().Pods(namespace)
	var made []*corev1.Pod
	for i := range 3 {
		pod, err := client.Create(t.Context(), podThat(fmt.Sprintf("pod%d", i), "", ""), metav1.CreateOptions{})
		must(t, err)
		made = append(made, pod)
	}
	for i, pod := range made {
		owner := made[(i+2)%3]
		patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"%s","uid":"%s","controller":true,"blockOwnerDeletion":true}]}}`, owner.Name, owner.UID)
		_, err := client.Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
	}
	must(t, client.Delete(t.Context(), "pod0", propagation(metav1.DeletePropagationForeground, made[0].UID)))
	podsBecome(t, namespace, 0)
}

func TestGarbageOfCustomObjects(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := define(t, served(t))
	client := kind.in(namespace)
	owner, err := client.Create(t.Context(), kind.instance("owner", nil), metav1.CreateOptions{})
	must(t, err)
	reference := metav1.OwnerReference{APIVersion: kind.apiVersion(), Kind: kind.Spec.Names.Kind, Name: "owner", UID: owner.GetUID()}
	dependent := kind.instance("dependent", nil)
	dependent.SetOwnerReferences([]metav1.OwnerReference{reference})
	_, err = client.Create(t.Context(), dependent, metav1.CreateOptions{})
	must(t, err)
	owned := configMap("owned", nil)
	owned.OwnerReferences = []metav1.OwnerReference{reference}
	_, err = typed.CoreV1().ConfigMaps(namespace).Create(t.Context(), owned, metav1.CreateOptions{})
	must(t, err)
	orphaned := kind.instance("orphaned", nil)
	reference.UID = "00000000-0000-0000-0000-000000000000"
	orphaned.SetOwnerReferences([]metav1.OwnerReference{reference})
	_, err = client.Create(t.Context(), orphaned, metav1.CreateOptions{})
	must(t, err)
	vanishes(t, client, "orphaned")
	must(t, client.Delete(t.Context(), "owner", metav1.DeleteOptions{}))
	vanishes(t, client, "dependent")
	eventually(t, "the config map is gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().ConfigMaps(namespace).Get(ctx, "owned", metav1.GetOptions{})
		return gone(err)
	})
}

func vanishes(t *testing.T, client dynamic.ResourceInterface, name string) {
	t.Helper()
	eventually(t, name+" is gone", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, name, metav1.GetOptions{})
		return gone(err)
	})
}

// --- namespaces

func TestNamespaceContent(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.AppsV1().Deployments(namespace).Create(t.Context(), deploymentOf("d", 2), metav1.CreateOptions{})
	must(t, err)
	_, err = typed.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	must(t, err)
	podsBecome(t, namespace, 2)
	must(t, typed.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}))
	err = makePod(t, namespace, podThat("late", "", ""))
	check(t, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err), "create in a dying namespace: %v", err)
	eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		return gone(err)
	})
	_, err = typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(t, err)
	services, err := typed.CoreV1().Services(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	equal(t, "services", len(services.Items), 0)
}

// Patch, update, finalize and status, as the conformance tests of namespaces do them.
func TestNamespaceVerbs(t *testing.T) {
	t.Parallel()
	name := makeNamespace(t)
	client := typed.CoreV1().Namespaces()
	patched, err := client.Patch(t.Context(), name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"testLabel":"testValue"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "label", patched.Labels["testLabel"], "testValue")
	equal(t, "name label", patched.Labels["kubernetes.io/metadata.name"], name)
	equal(t, "phase", patched.Status.Phase, corev1.NamespaceActive)
	status, err := client.Patch(t.Context(), name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"x":"y"}},"status":{"conditions":[{"type":"StatusPatch","status":"True","reason":"E2E","message":"Patched"}]}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "conditions", len(status.Status.Conditions), 1)
	held, err := client.Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	held.Spec.Finalizers = []corev1.FinalizerName{"example.com/fake"}
	finalized, err := client.Finalize(t.Context(), held, metav1.UpdateOptions{})
	must(t, err)
	equal(t, "finalizers", fmt.Sprint(finalized.Spec.Finalizers), "[example.com/fake]")
	must(t, client.Delete(t.Context(), name, metav1.DeleteOptions{}))
	time.Sleep(200 * time.Millisecond)
	waiting, err := client.Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	equal(t, "phase", waiting.Status.Phase, corev1.NamespaceTerminating)
	waiting.Spec.Finalizers = nil
	_, err = client.Finalize(t.Context(), waiting, metav1.UpdateOptions{})
	check(t, err == nil || apierrors.IsConflict(err), "finalize: %v", err)
}

func TestNamespacesInNumbers(t *testing.T) {
	t.Parallel()
	word := unique("many-")
	for i := range 20 {
		_, err := typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", word, i), Labels: map[string]string{"many": word}}}, metav1.CreateOptions{})
		must(t, err)
	}
	selected := metav1.ListOptions{LabelSelector: "many=" + word}
	listed, err := typed.CoreV1().Namespaces().List(t.Context(), selected)
	must(t, err)
	equal(t, "namespaces", len(listed.Items), 20)
	for _, one := range listed.Items {
		must(t, typed.CoreV1().Namespaces().Delete(t.Context(), one.Name, metav1.DeleteOptions{}))
	}
	eventually(t, "all are gone", func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Namespaces().List(ctx, selected)
		return err == nil && len(listed.Items) == 0, err
	})
}
