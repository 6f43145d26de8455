package suite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
)

func slicesOf(t *testing.T, namespace, service string) []discoveryv1.EndpointSlice {
	t.Helper()
	listed, err := typed.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
	must(t, err)
	return listed.Items
}

// The API server's own Service, its Endpoints and its slice say the same.
func TestServiceOfTheAPI(t *testing.T) {
	t.Parallel()
	service, err := typed.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	must(t, err)
	equal(t, "port", service.Spec.Ports[0].Port, 443)
	endpoints, err := typed.CoreV1().Endpoints("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	must(t, err)
	check(t, len(endpoints.Subsets) == 1 && endpoints.Subsets[0].Ports[0].Name == "https", "subsets %v", endpoints.Subsets)
	slice, err := typed.DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	must(t, err)
	equal(t, "address", slice.Endpoints[0].Addresses[0], endpoints.Subsets[0].Addresses[0].IP)
	equal(t, "port", *slice.Ports[0].Port, endpoints.Subsets[0].Ports[0].Port)
}

// A Service with a selector gets Endpoints and a slice that fill with pods and go with it.
func TestServiceEndpoints(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	services := typed.CoreV1().Services(namespace)
	_, err := services.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, PublishNotReadyAddresses: true,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}, {Name: "plain", Port: 81, TargetPort: intstr.FromInt32(8081)}}}}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "Endpoints and slice exist", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Endpoints(namespace).Get(ctx, "s", metav1.GetOptions{})
		if is, err := found(err); !is {
			return false, err
		}
		return len(slicesOf(t, namespace, "s")) > 0, nil
	})
	for i := range 2 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: "pause", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(3000 + i)}}}}}}
		must(t, makePod(t, namespace, pod))
	}
	eventually(t, "both pods are in the slices", func(ctx context.Context) (bool, error) {
		ready, ports := 0, map[int32]bool{}
		for _, slice := range slicesOf(t, namespace, "s") {
			for _, endpoint := range slice.Endpoints {
				if endpoint.TargetRef != nil && endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
					ready++
				}
			}
			for _, port := range slice.Ports {
				ports[*port.Port] = true
			}
		}
		return ready == 2 && ports[3000] && ports[3001] && ports[8081], nil
	})
	eventually(t, "both pods are in the Endpoints", func(ctx context.Context) (bool, error) {
		read, err := typed.CoreV1().Endpoints(namespace).Get(ctx, "s", metav1.GetOptions{})
		addresses := 0
		for _, subset := range read.Subsets {
			addresses += len(subset.Addresses)
		}
		return addresses >= 2 && len(read.Subsets) == 2, err
	})
	must(t, services.Delete(t.Context(), "s", metav1.DeleteOptions{}))
	eventually(t, "Endpoints and slices are gone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Endpoints(namespace).Get(ctx, "s", metav1.GetOptions{})
		if is, err := gone(err); !is {
			return false, err
		}
		return len(slicesOf(t, namespace, "s")) == 0, nil
	})
}

// Endpoints that a user makes are mirrored in slices, changed and removed with them.
func TestServiceMirroring(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "example", Port: 80}}}}, metav1.CreateOptions{})
	must(t, err)
	client := typed.CoreV1().Endpoints(namespace)
	mirrored := func(wanted string) {
		t.Helper()
		eventually(t, "mirrored "+wanted, func(ctx context.Context) (bool, error) {
			got := []string{}
			for _, slice := range slicesOf(t, namespace, "s") {
				equal(t, "managed by", slice.Labels["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io")
				for _, endpoint := range slice.Endpoints {
					got = append(got, fmt.Sprintf("%s:%d", endpoint.Addresses[0], *slice.Ports[0].Port))
				}
			}
			return strings.Join(got, " ") == wanted, nil
		})
	}
	subset := func(ip string, port int32) []corev1.EndpointSubset {
		return []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: ip}}, Ports: []corev1.EndpointPort{{Port: port}}}}
	}
	made, err := client.Create(t.Context(), &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Subsets: subset("10.1.2.3", 80)}, metav1.CreateOptions{})
	must(t, err)
	mirrored("10.1.2.3:80")
	made.Subsets = subset("10.2.3.4", 443)
	_, err = client.Update(t.Context(), made, metav1.UpdateOptions{})
	must(t, err)
	mirrored("10.2.3.4:443")
	must(t, client.Delete(t.Context(), "s", metav1.DeleteOptions{}))
	mirrored("")
}

// The status of a Service whose balancer is somebody else's, and a collection of Services.
func TestServiceStatus(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().Services(namespace)
	_, err := client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Labels: map[string]string{"static": "true"}}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: pointer("example.com/internal-vip"),
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(80)}}}}, metav1.CreateOptions{})
	must(t, err)
	patched, err := client.Patch(t.Context(), "s", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	equal(t, "annotation", patched.Annotations["patchedstatus"], "true")
	equal(t, "address", patched.Status.LoadBalancer.Ingress[0].IP, "203.0.113.1")
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		read, err := client.Get(t.Context(), "s", metav1.GetOptions{})
		if err != nil {
			return err
		}
		read.Status.Conditions = append(read.Status.Conditions, metav1.Condition{Type: "StatusUpdate", Status: metav1.ConditionTrue, Reason: "E2E", Message: "m", LastTransitionTime: metav1.Now()})
		_, err = client.UpdateStatus(t.Context(), read, metav1.UpdateOptions{})
		return err
	}))
	read, err := client.Get(t.Context(), "s", metav1.GetOptions{})
	must(t, err)
	equal(t, "ip mode", *read.Status.LoadBalancer.Ingress[0].IPMode, corev1.LoadBalancerIPModeVIP)
	equal(t, "conditions", len(read.Status.Conditions), 1)
	for i := range 3 {
		_, err := client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("many-%d", i), Labels: map[string]string{"many": "yes"}},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		must(t, err)
	}
	many := dyn.Resource(corev1.SchemeGroupVersion.WithResource("services")).Namespace(namespace)
	must(t, many.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "many"}))
	left, err := client.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	equal(t, "left", len(left.Items), 1)
}

// Types of a Service change, addresses and ports come and go.
func TestServiceTypes(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().Services(namespace)
	change := func(mutate func(*corev1.Service)) *corev1.Service {
		t.Helper()
		var updated *corev1.Service
		must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
			read, err := client.Get(t.Context(), "s", metav1.GetOptions{})
			if err != nil {
				return err
			}
			mutate(read)
			updated, err = client.Update(t.Context(), read, metav1.UpdateOptions{})
			return err
		}))
		return updated
	}
	made, err := client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "cluster IP of an external name", made.Spec.ClusterIP, "")
	toIP := change(func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeClusterIP, ""
		s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}
	})
	check(t, toIP.Spec.ClusterIP != "" && len(toIP.Spec.ClusterIPs) == 1, "no address: %v", toIP.Spec)
	toNode := change(func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "udp", Port: 80, Protocol: corev1.ProtocolUDP})
	})
	check(t, toNode.Spec.Ports[0].NodePort != 0 && toNode.Spec.Ports[1].NodePort != 0, "no node ports: %v", toNode.Spec.Ports)
	equal(t, "address", toNode.Spec.ClusterIP, toIP.Spec.ClusterIP)
	back := change(func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName, s.Spec.ClusterIP, s.Spec.ClusterIPs = corev1.ServiceTypeExternalName, "example.com", "", nil
	})
	check(t, back.Spec.ClusterIP == "" && back.Spec.Ports[0].NodePort == 0, "still has %v", back.Spec)
	other, err := client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: corev1.ServiceSpec{
		ClusterIP: toIP.Spec.ClusterIP, Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: toNode.Spec.Ports[0].NodePort}}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "third"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: other.Spec.Ports[0].NodePort}}}}, metav1.CreateOptions{})
	says(t, err, "provided port is already allocated")
}

// The range that Services get their addresses from is an object, and ready.
func TestServiceRange(t *testing.T) {
	t.Parallel()
	ranges, err := typed.NetworkingV1().ServiceCIDRs().Get(t.Context(), "kubernetes", metav1.GetOptions{})
	must(t, err)
	isReady := false
	for _, condition := range ranges.Status.Conditions {
		isReady = isReady || condition.Type == "Ready" && condition.Status == metav1.ConditionTrue
	}
	check(t, isReady, "the default range is not ready: %v", ranges.Status)
}

// Events of both groups are one: made in one, seen, changed and deleted through the other.
func TestEvents(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	core, modern := typed.CoreV1().Events(namespace), typed.EventsV1().Events(namespace)
	follow, err := modern.Watch(t.Context(), metav1.ListOptions{LabelSelector: "suite=events"})
	must(t, err)
	t.Cleanup(follow.Stop)
	made, err := core.Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Labels: map[string]string{"suite": "events"}},
		Message: "This is a test event", Reason: "Test", Type: "Normal", Count: 1, InvolvedObject: corev1.ObjectReference{Namespace: namespace, Kind: "Pod", Name: "p"}}, metav1.CreateOptions{})
	must(t, err)
	seen := expectEvent(t, follow, watch.Added, "e").Object.(*eventsv1.Event)
	equal(t, "note", seen.Note, made.Message)
	equal(t, "regarding", seen.Regarding.Name, "p")
	_, err = core.Patch(t.Context(), "e", types.StrategicMergePatchType, []byte(`{"message":"This is a test event - patched"}`), metav1.PatchOptions{})
	must(t, err)
	expectEvent(t, follow, watch.Modified, "e")
	read, err := modern.Get(t.Context(), "e", metav1.GetOptions{})
	must(t, err)
	equal(t, "note", read.Note, "This is a test event - patched")
	for _, selector := range []string{"involvedObject.name=p", "reason=Test", "type=Normal,involvedObject.kind=Pod"} {
		listed, err := core.List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		must(t, err)
		equal(t, "events with "+selector, len(listed.Items), 1)
	}
	must(t, modern.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "suite=events"}))
	expectEvent(t, follow, watch.Deleted, "e")
}
