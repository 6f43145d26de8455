package suite

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// hookServer answers reviews as conformance's sample webhook does, behind a Service of the namespace.
type hookServer struct {
	namespace string
	bundle    []byte
	// labels select the test's namespaces, and nobody else's.
	labels map[string]string
	hang   chan struct{}
}

const hookPort = 8443

func serveHooks(t *testing.T, namespace string) *hookServer {
	t.Helper()
	server := &hookServer{namespace: namespace, labels: map[string]string{namespace: "true"}, hang: make(chan struct{})}
	server.bundle = serveBehindService(t, namespace, "hooks", http.HandlerFunc(server.answer))
	t.Cleanup(func() { close(server.hang) })
	labelled := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"true"}}}`, namespace)
	_, err := typed.CoreV1().Namespaces().Patch(t.Context(), namespace, types.StrategicMergePatchType, labelled, metav1.PatchOptions{})
	must(t, err)
	return server
}

// serveBehindService makes a Service without pods and leads it to an address of this machine that is no loopback: servers
// refuse those behind a Service. What comes back is the certificate to trust.
func serveBehindService(t *testing.T, namespace, name string, handler http.Handler) []byte {
	t.Helper()
	listener, err := net.Listen("tcp4", ownAddress(t)+":0")
	must(t, err)
	certificate, err := newServingCertificate(name + "." + namespace + ".svc")
	must(t, err)
	serving := httptest.NewUnstartedServer(handler)
	must(t, serving.Listener.Close())
	serving.Listener = listener
	serving.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	serving.Config.ErrorLog = log.New(io.Discard, "", 0) // those who do not trust the certificate
	serving.StartTLS()
	t.Cleanup(serving.Close)
	announce(t, namespace, name, listener.Addr().(*net.TCPAddr))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
}

func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, address := range addresses {
		network, isNetwork := address.(*net.IPNet)
		if isNetwork && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Skip("this machine has no address but the loopback")
	return ""
}

func announce(t *testing.T, namespace, name string, address *net.TCPAddr) {
	t.Helper()
	_, err := typed.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: hookPort}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = typed.DiscoveryV1().EndpointSlices(namespace).Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.IP.String()}}},
		Ports:       []discoveryv1.EndpointPort{{Name: pointer(""), Port: pointer(int32(address.Port))}},
	}, metav1.CreateOptions{})
	must(t, err)
}

func (s *hookServer) answer(writer http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	review := admissionv1.AdmissionReview{}
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	object := map[string]any{}
	raw := review.Request.Object.Raw
	if raw == nil {
		raw = review.Request.OldObject.Raw
	}
	_ = json.Unmarshal(raw, &object)
	response := s.decide(request.URL.Path, review.Request, object)
	if response == nil {
		http.NotFound(writer, request)
		return
	}
	response.UID = review.Request.UID
	review.Response, review.Request = response, nil
	_ = json.NewEncoder(writer).Encode(review)
}

func (s *hookServer) decide(path string, request *admissionv1.AdmissionRequest, object map[string]any) *admissionv1.AdmissionResponse {
	data, _ := object["data"].(map[string]any)
	switch path {
	case "/deny":
		return refusal("this webhook denies all requests")
	case "/data":
		if data["webhook"] == "disallow" || data["webhook"] == "nondeletable" && request.Operation == admissionv1.Delete {
			return refusal("the object contains unwanted data")
		}
	case "/labels":
		labels, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
		if labels["webhook"] == "disallow" {
			return refusal("the object contains an unwanted label")
		}
	case "/hang":
		select {
		case <-s.hang:
		case <-time.After(20 * time.Second):
		}
	case "/stages":
		return stages(data)
	case "/pods":
		container := `{"image":"pause","name":"webhook-added-init-container","resources":{}}`
		return patching(`[{"op":"add","path":"/spec/initContainers","value":[` + container + `]}]`)
	case "/label":
		return patching(`[{"op":"add","path":"/metadata/labels","value":{"added-label":"yes"}}]`)
	case "/attach":
		if request.Name == "to-be-attached-pod" {
			return refusal("attaching to pod 'to-be-attached-pod' is not allowed")
		}
	default:
		return nil
	}
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func stages(data map[string]any) *admissionv1.AdmissionResponse {
	for _, step := range [][2]string{{"mutation-start", "mutation-stage-1"}, {"mutation-stage-1", "mutation-stage-2"}} {
		if data[step[0]] == "yes" && data[step[1]] == nil {
			return patching(`[{"op":"add","path":"/data/` + step[1] + `","value":"yes"}]`)
		}
	}
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func refusal(text string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: text}}
}

func patching(text string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true, PatchType: pointer(admissionv1.PatchTypeJSONPatch), Patch: []byte(text)}
}

func rule(resource string, operations ...admissionregistration.OperationType) admissionregistration.RuleWithOperations {
	group, resource, _ := strings.Cut(resource, ":")
	return admissionregistration.RuleWithOperations{Operations: operations, Rule: admissionregistration.Rule{
		APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{resource},
	}}
}

func (s *hookServer) config(path string) admissionregistration.WebhookClientConfig {
	return admissionregistration.WebhookClientConfig{CABundle: s.bundle, Service: &admissionregistration.ServiceReference{
		Namespace: s.namespace, Name: "hooks", Path: &path, Port: pointer(int32(hookPort)),
	}}
}

func (s *hookServer) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: s.labels}
}

// validating is a webhook that asks `path`; validate registers some, until the end of the test.
func (s *hookServer) validating(path string, rules ...admissionregistration.RuleWithOperations) admissionregistration.ValidatingWebhook {
	return admissionregistration.ValidatingWebhook{
		Name: strings.Trim(path, "/") + ".validating.example.com", ClientConfig: s.config(path), Rules: rules,
		NamespaceSelector: s.selector(), SideEffects: pointer(admissionregistration.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1", "v1beta1"},
	}
}

func (s *hookServer) mutating(name, path string, rules ...admissionregistration.RuleWithOperations) admissionregistration.MutatingWebhook {
	return admissionregistration.MutatingWebhook{
		Name: name + ".mutating.example.com", ClientConfig: s.config(path), Rules: rules,
		NamespaceSelector: s.selector(), SideEffects: pointer(admissionregistration.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1", "v1beta1"},
	}
}

func validate(t *testing.T, name string, labels map[string]string, webhooks ...admissionregistration.ValidatingWebhook) *admissionregistration.ValidatingWebhookConfiguration {
	t.Helper()
	client := typed.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	made, err := client.Create(t.Context(), &admissionregistration.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Webhooks: webhooks,
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	return made
}

func mutateBy(t *testing.T, name string, labels map[string]string, webhooks ...admissionregistration.MutatingWebhook) *admissionregistration.MutatingWebhookConfiguration {
	t.Helper()
	client := typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	made, err := client.Create(t.Context(), &admissionregistration.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Webhooks: webhooks,
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	return made
}

func dataMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: unique("map-")}, Data: maps.Clone(data)}
}

var disallowed = map[string]string{"webhook": "disallow"}
