package suite

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A request for a client certificate is approved and signed, and the certificate is who it says.
func TestAuthCertificates(t *testing.T) {
	t.Parallel()
	name := unique("suite-csr-")
	client := typed.CertificatesV1().CertificateSigningRequests()
	material, err := newKeyMaterial(pkix.Name{CommonName: name, Organization: []string{"suite-group"}})
	must(t, err)
	request := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: material.requestPEM, SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: pointer(int32(3600)),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth},
	}}
	made, err := client.Create(t.Context(), request, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	equal(t, "user", made.Spec.Username, "system:admin")
	made.Status.Conditions = append(made.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "E2E", Message: "Set from a test"})
	approved, err := client.UpdateApproval(t.Context(), name, made, metav1.UpdateOptions{})
	must(t, err)
	check(t, len(approved.Status.Conditions) == 1 && !approved.Status.Conditions[0].LastUpdateTime.IsZero(), "conditions %v", approved.Status.Conditions)
	var certificate []byte
	eventually(t, "the certificate is issued", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		certificate = read.Status.Certificate
		return len(certificate) > 0, nil
	})
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	validity := parsed.NotAfter.Sub(parsed.NotBefore)
	check(t, validity <= 3600*time.Second+10*time.Minute, "valid for %v", validity)
	key, err := x509.MarshalECPrivateKey(material.key)
	must(t, err)
	own := rest.AnonymousClientConfig(config)
	own.TLSClientConfig.CertData = certificate
	own.TLSClientConfig.KeyData = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})
	user, err := kubernetes.NewForConfig(own)
	must(t, err)
	self, err := user.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "name", self.Status.UserInfo.Username, name)
	check(t, slices.Contains(self.Status.UserInfo.Groups, "suite-group") && slices.Contains(self.Status.UserInfo.Groups, "system:authenticated"), "groups %v", self.Status.UserInfo.Groups)
	_, err = user.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	check(t, apierrors.IsForbidden(err), "list of secrets: %v", err)
	says(t, err, fmt.Sprintf(`secrets is forbidden: User "%s" cannot list resource "secrets" in API group "" in the namespace "default"`, name))
}

// The approval and status endpoints change what they are for, by update and patch.
func TestAuthCertificateEndpoints(t *testing.T) {
	t.Parallel()
	name := unique("suite-csr-")
	client := typed.CertificatesV1().CertificateSigningRequests()
	material, err := newKeyMaterial(pkix.Name{CommonName: name})
	must(t, err)
	_, err = client.Create(t.Context(), &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: material.requestPEM, SignerName: "example.com/suite", Usages: []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth}}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = client.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	patch := []byte(`{"metadata":{"annotations":{"p":"a"}},"status":{"conditions":[{"type":"Approved","status":"True","reason":"E2E","message":"m"}],"certificate":` + quoted(base64Text(material.caPEM)) + `}}`)
	patched, err := client.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}, "approval")
	must(t, err)
	equal(t, "conditions after approval", len(patched.Status.Conditions), 1)
	equal(t, "certificate after approval", len(patched.Status.Certificate), 0)
	denied := []byte(`{"status":{"conditions":[{"type":"Failed","status":"True","reason":"E2E","message":"m"},{"type":"Approved","status":"True","reason":"E2E","message":"m"}],"certificate":` + quoted(base64Text(material.caPEM)) + `}}`)
	status, err := client.Patch(t.Context(), name, types.MergePatchType, denied, metav1.PatchOptions{}, "status")
	must(t, err)
	check(t, len(status.Status.Certificate) > 0 && len(status.Status.Conditions) == 2, "status %v", status.Status)
	for _, under := range []string{"approval", "status"} {
		read := &certificatesv1.CertificateSigningRequest{}
		must(t, typed.CertificatesV1().RESTClient().Get().Resource("certificatesigningrequests").Name(name).SubResource(under).Do(t.Context()).Into(read))
		equal(t, "name through "+under, read.Name, name)
	}
}

func quoted(text string) string {
	body, _ := json.Marshal(text)
	return string(body)
}

// Tokens: requested, reviewed, bound to a pod, refused after it and for other audiences.
func TestAuthTokens(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	accounts := typed.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{})
	must(t, err)
	token := func(spec authenticationv1.TokenRequestSpec) (string, error) {
		answer, err := accounts.CreateToken(t.Context(), "sa", &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		check(t, !answer.Status.ExpirationTimestamp.IsZero(), "no expiry")
		return answer.Status.Token, nil
	}
	review := func(text string, audiences ...string) authenticationv1.TokenReviewStatus {
		answer, err := typed.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: text, Audiences: audiences}}, metav1.CreateOptions{})
		must(t, err)
		return answer.Status
	}
	plain, err := token(authenticationv1.TokenRequestSpec{})
	must(t, err)
	status := review(plain)
	check(t, status.Authenticated && status.Error == "", "review %v", status)
	equal(t, "user", status.User.Username, "system:serviceaccount:"+namespace+":sa")
	check(t, slices.Contains(status.User.Groups, "system:serviceaccounts:"+namespace), "groups %v", status.User.Groups)

	must(t, makePod(t, namespace, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{ServiceAccountName: "sa",
		NodeSelector: map[string]string{"nowhere": "x"}, Containers: []corev1.Container{{Name: "c", Image: "pause"}}}}))
	pod, err := typed.CoreV1().Pods(namespace).Get(t.Context(), "p", metav1.GetOptions{})
	must(t, err)
	bound, err := token(authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}, ExpirationSeconds: pointer(int64(600)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: pod.UID}})
	must(t, err)
	check(t, !review(bound).Authenticated, "another audience's token was accepted")
	status = review(bound, "vault", "other")
	check(t, status.Authenticated && len(status.Audiences) == 1 && status.Audiences[0] == "vault", "review %v", status)
	equal(t, "pod", status.User.Extra["authentication.kubernetes.io/pod-name"][0], "p")
	deletePod(t, namespace, "p")
	eventually(t, "the token of a pod that is gone is refused", func(context.Context) (bool, error) { return !review(bound, "vault").Authenticated, nil })
	_, err = token(authenticationv1.TokenRequestSpec{ExpirationSeconds: pointer(int64(60))})
	check(t, apierrors.IsInvalid(err), "too short: %v", err)
	says(t, err, "may not specify a duration less than 10 minutes")
	check(t, !review("nonsense").Authenticated, "nonsense was accepted")
}

// A token works as a credential, with the rights of its roles; the issuer's documents can be read and fit.
func TestAuthIssuer(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	answer, err := typed.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	own := rest.AnonymousClientConfig(config)
	own.BearerToken = answer.Status.Token
	user, err := kubernetes.NewForConfig(own)
	must(t, err)
	binding := namespace + "-issuer"
	_, err = typed.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: binding},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "default", Namespace: namespace}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = typed.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding, metav1.DeleteOptions{})
	})
	var document struct {
		Issuer  string   `json:"issuer"`
		JWKSURI string   `json:"jwks_uri"`
		Algs    []string `json:"id_token_signing_alg_values_supported"`
	}
	eventually(t, "the issuer's document can be read", func(ctx context.Context) (bool, error) {
		raw, err := user.Discovery().RESTClient().Get().AbsPath("/.well-known/openid-configuration").Do(ctx).Raw()
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, json.Unmarshal(raw, &document)
	})
	keys, err := user.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").Do(t.Context()).Raw()
	must(t, err)
	check(t, strings.Contains(string(keys), `"keys"`) && document.JWKSURI != "" && len(document.Algs) > 0, "documents %v %s", document, keys)
	body := strings.Split(answer.Status.Token, ".")[1]
	var claims struct {
		Issuer string `json:"iss"`
	}
	must(t, json.Unmarshal(fromBase64URL(t, body), &claims))
	equal(t, "issuer", claims.Issuer, document.Issuer)
}

// The CA's config map comes back when it is deleted and is put right when it is changed.
func TestAuthRootCA(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().ConfigMaps(namespace)
	must(t, client.Delete(t.Context(), "kube-root-ca.crt", metav1.DeleteOptions{GracePeriodSeconds: pointer(int64(0))}))
	eventually(t, "it is made again", func(ctx context.Context) (bool, error) {
		_, err := client.Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return found(err)
	})
	_, err := client.Update(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": ""}}, metav1.UpdateOptions{})
	must(t, err)
	eventually(t, "it is put right", func(ctx context.Context) (bool, error) {
		read, err := client.Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err == nil && strings.Contains(read.Data["ca.crt"], "BEGIN CERTIFICATE"), err
	})
}

// Whether a pod gets a token: its account's and its own wish, in all nine combinations.
func TestAuthAutomount(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	wishes := map[string]*bool{"default": nil, "mount": pointer(true), "nomount": pointer(false)}
	for account, wish := range wishes {
		_, err := typed.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: "sa-" + account}, AutomountServiceAccountToken: wish}, metav1.CreateOptions{})
		must(t, err)
		for word, own := range wishes {
			pod := podThat(account+"-"+word, "", "")
			pod.Spec.ServiceAccountName, pod.Spec.AutomountServiceAccountToken = "sa-"+account, own
			made, err := typed.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
			must(t, err)
			isMounted := slices.ContainsFunc(made.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
				return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
			})
			wanted := word == "mount" || (word == "default" && account != "nomount")
			equal(t, made.Name+" mounts a token", isMounted, wanted)
		}
	}
}

// Who may do what: reviews for others, for oneself, in a namespace, and impersonation.
func TestAuthReviews(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "e2e"}}, metav1.CreateOptions{})
	must(t, err)
	user := "system:serviceaccount:" + namespace + ":e2e"
	_, err = typed.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r"},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = typed.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "e2e", Namespace: namespace}}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "r"}}, metav1.CreateOptions{})
	must(t, err)
	attributes := func(verb, resource string) *authorizationv1.ResourceAttributes {
		return &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Version: "v1", Resource: resource}
	}
	may := func(verb, resource string) bool {
		answer, err := typed.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes(verb, resource), User: user}}, metav1.CreateOptions{})
		must(t, err)
		local, err := typed.AuthorizationV1().LocalSubjectAccessReviews(namespace).Create(t.Context(), &authorizationv1.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace},
			Spec:       authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes(verb, resource), User: user}}, metav1.CreateOptions{})
		must(t, err)
		equal(t, "local review", local.Status.Allowed, answer.Status.Allowed)
		return answer.Status.Allowed
	}
	eventually(t, "the binding counts", func(context.Context) (bool, error) { return may("get", "configmaps"), nil })
	equal(t, "delete", may("delete", "configmaps"), false)
	equal(t, "secrets", may("list", "secrets"), false)
	own := rest.CopyConfig(config)
	own.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"extra-group"}, Extra: map[string][]string{"scopes": {"a", "b"}}}
	as, err := kubernetes.NewForConfig(own)
	must(t, err)
	_, err = as.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	_, err = as.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
	says(t, err, fmt.Sprintf(`secrets is forbidden: User "%s" cannot list resource "secrets" in API group "" in the namespace "%s"`, user, namespace))
	self, err := as.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "extra", strings.Join(self.Status.UserInfo.Extra["scopes"], ","), "a,b")
	rules, err := as.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
	must(t, err)
	check(t, slices.ContainsFunc(rules.Status.ResourceRules, func(rule authorizationv1.ResourceRule) bool {
		return slices.Contains(rule.Resources, "configmaps") && slices.Contains(rule.Verbs, "list")
	}), "rules %v", rules.Status.ResourceRules)
	_, err = typed.AuthorizationV1().LocalSubjectAccessReviews("default").Create(t.Context(), &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default"},
		Spec:       authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes("get", "pods"), User: user}}, metav1.CreateOptions{})
	check(t, err != nil, "a local review of another namespace was answered")
}

// Bundles of trust: verbs, and the rules of their names.
func TestAuthTrustBundles(t *testing.T) {
	t.Parallel()
	client := typed.CertificatesV1().ClusterTrustBundles()
	material, err := newKeyMaterial(pkix.Name{CommonName: "x"})
	must(t, err)
	word := unique("bundle")
	signer := "suite.test/" + word
	bundle := &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "suite.test:" + word + ":first"},
		Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: string(material.caPEM)}}
	_, err = client.Create(t.Context(), bundle, metav1.CreateOptions{})
	must(t, err)
	listed, err := client.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=" + signer})
	must(t, err)
	equal(t, "bundles of the signer", len(listed.Items), 1)
	bundle.Name = "no-prefix-" + word
	_, err = client.Create(t.Context(), bundle, metav1.CreateOptions{})
	says(t, err, "ClusterTrustBundle for signerName "+signer+" must be named with prefix suite.test:"+word+":")
	bundle.Name, bundle.Spec.SignerName, bundle.Spec.TrustBundle = "junk-"+word, "", "junk"
	_, err = client.Create(t.Context(), bundle, metav1.CreateOptions{})
	check(t, apierrors.IsInvalid(err), "junk: %v", err)
	must(t, client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "spec.signerName=" + signer}))
}
