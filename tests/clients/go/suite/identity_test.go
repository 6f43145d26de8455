package suite

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// grant gives a subject these rules in the whole cluster until the test's end.
func grant(t *testing.T, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	name := metav1.ObjectMeta{GenerateName: "suite-"}
	role, err := typed.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{})
	must(t, err)
	binding, err := typed.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		must(t, typed.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{}))
		must(t, typed.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{}))
	})
}

func clientWith(t *testing.T, change func(*rest.Config)) *kubernetes.Clientset {
	t.Helper()
	own := rest.AnonymousClientConfig(config)
	change(own)
	client, err := kubernetes.NewForConfig(own)
	must(t, err)
	return client
}

// TestIdentityScheduledNode: a pod's account may act as its own node, when listing pods alone.
func TestIdentityScheduledNode(t *testing.T) {
	namespace := makeNamespace(t)
	pod := runningPod(t, namespace)
	issued, err := typed.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{
			Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}}}, metav1.CreateOptions{})
	must(t, err)
	client := clientWith(t, func(own *rest.Config) {
		own.BearerToken = issued.Status.Token
		own.Impersonate.UserName = "system:node:" + pod.Spec.NodeName
	})
	own := metav1.ListOptions{FieldSelector: "spec.nodeName=" + pod.Spec.NodeName}
	_, err = client.CoreV1().Pods(namespace).List(t.Context(), own)
	check(t, apierrors.IsForbidden(err), "without a role it got %v", err)
	grant(t, rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: "default"},
		rbacv1.PolicyRule{Verbs: []string{"impersonate:associated-node"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"nodes"}},
		rbacv1.PolicyRule{Verbs: []string{"impersonate-on:associated-node:list"}, APIGroups: []string{""}, Resources: []string{"pods"}})
	_, err = client.CoreV1().Pods(namespace).List(t.Context(), own)
	must(t, err)
	_, err = client.CoreV1().Pods(namespace).Watch(t.Context(), own)
	check(t, apierrors.IsForbidden(err), "a watch got %v", err)
}

// TestIdentityPodCertificates: a signer answers for the key that was asked for, once, and only who may sign does.
func TestIdentityPodCertificates(t *testing.T) {
	namespace := makeNamespace(t)
	material, err := newKeyMaterial(pkix.Name{CommonName: "pod"})
	must(t, err)
	signer := "example.com/suite-" + namespace
	requests := typed.CertificatesV1().PodCertificateRequests(namespace)
	uid := "12345678-1234-1234-1234-123456789012"
	made, err := requests.Create(t.Context(), &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "suite-"},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: signer, PodName: "test-pod", PodUID: "x", ServiceAccountName: "default", ServiceAccountUID: "y",
			NodeName: "test-node", NodeUID: "z", StubPKCS10Request: material.stubDER,
		}}, metav1.CreateOptions{})
	must(t, err)
	check(t, made.Spec.MaxExpirationSeconds != nil && *made.Spec.MaxExpirationSeconds == 86400, "the longest life is %v", made.Spec.MaxExpirationSeconds)
	start := time.Now().Add(-time.Minute).Truncate(time.Second)
	chain := selfSigned(t, material.key, start, start.Add(time.Hour))
	made.Status = certificatesv1.PodCertificateRequestStatus{
		CertificateChain: chain,
		NotBefore:        &metav1.Time{Time: start}, NotAfter: &metav1.Time{Time: start.Add(time.Hour)},
		BeginRefreshAt: &metav1.Time{Time: start.Add(15 * time.Minute)},
		Conditions: []metav1.Condition{{Type: certificatesv1.PodCertificateRequestConditionTypeIssued,
			Status: metav1.ConditionTrue, Reason: "E2E", Message: "Issued", LastTransitionTime: metav1.Now()}},
	}
	acting := rest.CopyConfig(config)
	acting.Impersonate = rest.ImpersonationConfig{UserName: "signer-" + uid}
	client, err := kubernetes.NewForConfig(acting)
	must(t, err)
	who := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: acting.Impersonate.UserName}
	grant(t, who, rbacv1.PolicyRule{Verbs: []string{"update"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests/status"}})
	_, err = client.CertificatesV1().PodCertificateRequests(namespace).UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	check(t, apierrors.IsInvalid(err) && strings.Contains(err.Error(), "not permitted"), "without the right to sign it got %v", err)
	grant(t, who, rbacv1.PolicyRule{Verbs: []string{"sign"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{signer}})
	answered, err := client.CertificatesV1().PodCertificateRequests(namespace).UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	must(t, err)
	equal(t, "the chain", answered.Status.CertificateChain, chain)
	answered.Status.Conditions[0].Message = "another"
	_, err = requests.UpdateStatus(t.Context(), answered, metav1.UpdateOptions{})
	check(t, apierrors.IsInvalid(err), "a second answer got %v", err)
	found, err := requests.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=" + signer})
	must(t, err)
	equal(t, "requests of the signer", len(found.Items), 1)
}

func selfSigned(t *testing.T, key *ecdsa.PrivateKey, start, end time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(start.UnixNano()), NotBefore: start, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func runningPod(t *testing.T, namespace string) *corev1.Pod {
	t.Helper()
	pod, err := typed.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "suite-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the pod's start", func(ctx context.Context) (bool, error) {
		pod, err = typed.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning, err
	})
	return pod
}
