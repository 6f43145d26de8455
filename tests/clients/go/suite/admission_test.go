package suite

import (
	"context"
	"fmt"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What a webhook refuses is refused with its words, in creates, updates and patches; what selectors leave out is not.
func TestAdmissionDenies(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hooks := serveHooks(t, namespace)
	open := hooks.validating("/open", rule(":configmaps", "CREATE"))
	open.ClientConfig.CABundle, open.FailurePolicy = nil, pointer(admissionregistration.Ignore)
	hang := hooks.validating("/hang", rule(":pods", "CREATE"))
	hang.TimeoutSeconds = pointer(int32(1))
	data := hooks.validating("/data", rule(":configmaps", "CREATE", "UPDATE", "DELETE"))
	data.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "skip-webhooks", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"yes"}}}
	validate(t, namespace, nil, data, open, hang)
	client := typed.CoreV1().ConfigMaps(namespace)
	_, err := client.Create(t.Context(), dataMap(disallowed), metav1.CreateOptions{})
	says(t, err, `admission webhook "data.validating.example.com" denied the request: the object contains unwanted data`)
	made, err := client.Create(t.Context(), dataMap(map[string]string{"admit": "this"}), metav1.CreateOptions{})
	must(t, err)
	made.Data = disallowed
	_, err = client.Update(t.Context(), made, metav1.UpdateOptions{})
	says(t, err, "the object contains unwanted data")
	_, err = client.Patch(t.Context(), made.Name, types.StrategicMergePatchType, []byte(`{"data":{"webhook":"disallow"}}`), metav1.PatchOptions{})
	says(t, err, "the object contains unwanted data")
	_, err = typed.CoreV1().Pods(namespace).Create(t.Context(), waitingPod("hanging"), metav1.CreateOptions{})
	says(t, err, "webhook")
	says(t, err, "deadline")
	says(t, err, "/hang?timeout=1s")
	check(t, apierrors.IsInternalError(err), "a webhook that hangs: %v", err)
	_, err = typed.CoreV1().Pods(namespace).Get(t.Context(), "hanging", metav1.GetOptions{})
	check(t, apierrors.IsNotFound(err), "the pod: %v", err)
	skipping := fmt.Appendf(nil, `{"metadata":{"labels":{"skip-webhooks":"yes",%q:"true"}}}`, namespace)
	other := makeNamespace(t)
	_, err = typed.CoreV1().Namespaces().Patch(t.Context(), other, types.StrategicMergePatchType, skipping, metav1.PatchOptions{})
	must(t, err)
	eventually(t, "the other namespace is left alone", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().ConfigMaps(other).Create(ctx, dataMap(disallowed), metav1.CreateOptions{})
		return err == nil, nil
	})
}

func waitingPod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "pause"}},
	}}
}

// Webhooks change what is made in order, defaults follow, and conditions let an object through.
func TestAdmissionMutates(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hooks := serveHooks(t, namespace)
	first, second := hooks.mutating("first", "/stages", rule(":configmaps", "CREATE")), hooks.mutating("second", "/stages", rule(":configmaps", "CREATE"))
	second.MatchConditions = []admissionregistration.MatchCondition{{Name: "skip-me", Expression: "object.metadata.name != 'skip-me'"}}
	mutateBy(t, namespace, nil, first, second, hooks.mutating("pods", "/pods", rule(":pods", "CREATE")))
	client := typed.CoreV1().ConfigMaps(namespace)
	start := map[string]string{"mutation-start": "yes"}
	made, err := client.Create(t.Context(), dataMap(start), metav1.CreateOptions{})
	must(t, err)
	equal(t, "data", fmt.Sprint(made.Data), "map[mutation-stage-1:yes mutation-stage-2:yes mutation-start:yes]")
	skipped := dataMap(start)
	skipped.Name = "skip-me"
	made, err = client.Create(t.Context(), skipped, metav1.CreateOptions{})
	must(t, err)
	equal(t, "data", fmt.Sprint(made.Data), "map[mutation-stage-1:yes mutation-start:yes]")
	pod, err := typed.CoreV1().Pods(namespace).Create(t.Context(), waitingPod("webhook-to-be-mutated"), metav1.CreateOptions{})
	must(t, err)
	equal(t, "init containers", len(pod.Spec.InitContainers), 1)
	equal(t, "default", pod.Spec.InitContainers[0].TerminationMessagePolicy, corev1.TerminationMessageReadFile)

	configurations := typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	only := []byte(`[{"op":"replace","path":"/webhooks/0/rules/0/operations","value":["UPDATE"]},{"op":"replace","path":"/webhooks/1/rules/0/operations","value":["UPDATE"]}]`)
	_, err = configurations.Patch(t.Context(), namespace, types.JSONPatchType, only, metav1.PatchOptions{})
	must(t, err)
	eventually(t, "nothing is changed any more", func(ctx context.Context) (bool, error) {
		made, err := client.Create(ctx, dataMap(start), metav1.CreateOptions{})
		return err == nil && len(made.Data) == 1, err
	})
}

// No webhook keeps its own kind of configuration from being made, unchanged, and deleted.
func TestAdmissionConfigurationsAreExempt(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hooks := serveHooks(t, namespace)
	group := "admissionregistration.k8s.io:"
	configurations := []admissionregistration.RuleWithOperations{
		rule(group+"validatingwebhookconfigurations", "CREATE", "DELETE"), rule(group+"mutatingwebhookconfigurations", "CREATE", "DELETE")}
	validate(t, namespace+"-blocking", nil, hooks.validating("/deny", configurations...))
	mutateBy(t, namespace+"-blocking", nil, hooks.mutating("label", "/label", configurations...))
	dummy := hooks.validating("/x", rule(":invalid", "CREATE"))
	dummy.ClientConfig.Service.Path, dummy.ClientConfig.CABundle, dummy.FailurePolicy = pointer(""), nil, pointer(admissionregistration.Ignore)
	made := validate(t, namespace, nil, dummy)
	equal(t, "labels", len(made.Labels), 0)
	must(t, typed.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), made.Name, metav1.DeleteOptions{}))
	changing := mutateBy(t, namespace, nil, hooks.mutating("x", "/x", rule(":invalid", "CREATE")))
	equal(t, "labels", len(changing.Labels), 0)
	must(t, typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), changing.Name, metav1.DeleteOptions{}))
}

// Ten configurations are listed and deleted by their label, and with them goes what they refused.
func TestAdmissionCollections(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hooks := serveHooks(t, namespace)
	labels := map[string]string{"suite": namespace}
	for i := range 10 {
		validate(t, fmt.Sprintf("%s-%d", namespace, i), labels, hooks.validating("/data", rule(":configmaps", "CREATE")))
		mutateBy(t, fmt.Sprintf("%s-%d", namespace, i), labels, hooks.mutating("m", "/stages", rule(":configmaps", "CREATE")))
	}
	client, selected := typed.CoreV1().ConfigMaps(namespace), metav1.ListOptions{LabelSelector: "suite=" + namespace}
	validating, mutating := typed.AdmissionregistrationV1().ValidatingWebhookConfigurations(), typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	listed, err := validating.List(t.Context(), selected)
	must(t, err)
	equal(t, "validating", len(listed.Items), 10)
	changing, err := mutating.List(t.Context(), selected)
	must(t, err)
	equal(t, "mutating", len(changing.Items), 10)
	_, err = client.Create(t.Context(), dataMap(disallowed), metav1.CreateOptions{})
	says(t, err, "denied")
	must(t, validating.DeleteCollection(t.Context(), metav1.DeleteOptions{}, selected))
	must(t, mutating.DeleteCollection(t.Context(), metav1.DeleteOptions{}, selected))
	eventually(t, "nothing is refused any more", func(ctx context.Context) (bool, error) {
		_, err := client.Create(ctx, dataMap(disallowed), metav1.CreateOptions{})
		return err == nil, nil
	})
	made, err := client.Create(t.Context(), dataMap(map[string]string{"mutation-start": "yes"}), metav1.CreateOptions{})
	must(t, err)
	equal(t, "data", len(made.Data), 1)
}

// Custom objects pass through webhooks in every version, also after another one is stored; definitions do, too.
func TestAdmissionOfCustomObjects(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	hooks := serveHooks(t, namespace)
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", anything), version(t, "v2", anything)}})
	of := kind.Spec.Group + ":" + kind.Spec.Names.Plural
	validate(t, namespace, nil, hooks.validating("/data", rule(of, "CREATE", "UPDATE", "DELETE")))
	mutateBy(t, namespace, nil, hooks.mutating("first", "/stages", rule(of, "CREATE", "UPDATE")), hooks.mutating("second", "/stages", rule(of, "CREATE")))
	client := kind.in(namespace)
	data := func(key, value string) map[string]any { return map[string]any{"data": map[string]any{key: value}} }
	_, err := client.Create(t.Context(), kind.instance("one", data("webhook", "disallow")), metav1.CreateOptions{})
	says(t, err, "the object contains unwanted data")
	_, err = client.Create(t.Context(), kind.instance("two", data("webhook", "nondeletable")), metav1.CreateOptions{})
	must(t, err)
	says(t, client.Delete(t.Context(), "two", metav1.DeleteOptions{}), "the object contains unwanted data")
	patch := func(text string) error {
		_, err := client.Patch(t.Context(), "two", types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err
	}
	says(t, patch(`{"data":{"webhook":"disallow"}}`), "the object contains unwanted data")
	must(t, patch(`{"data":{"webhook":"allow"}}`))
	must(t, client.Delete(t.Context(), "two", metav1.DeleteOptions{}))

	made, err := client.Create(t.Context(), kind.instance("three", data("mutation-start", "yes")), metav1.CreateOptions{})
	must(t, err)
	wanted := "map[mutation-stage-1:yes mutation-stage-2:yes mutation-start:yes]"
	equal(t, "data", fmt.Sprint(made.Object["data"]), wanted)
	stored := `{"spec":{"versions":[{"name":"v1","storage":false,"served":true,"schema":{"openAPIV3Schema":` + anything +
		`}},{"name":"v2","storage":true,"served":true,"schema":{"openAPIV3Schema":` + anything + `}}]}}`
	_, err = kind.client.ApiextensionsV1().CustomResourceDefinitions().Patch(t.Context(), kind.Name, types.StrategicMergePatchType, []byte(stored), metav1.PatchOptions{})
	must(t, err)
	patched, err := dyn.Resource(kind.gvr(1)).Namespace(namespace).Patch(t.Context(), "three", types.JSONPatchType, []byte(`[{"op":"add","path":"/dummy","value":"test"}]`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "data", fmt.Sprint(patched.Object["data"]), wanted)
	equal[any](t, "dummy", patched.Object["dummy"], "test")

	definitions := hooks.validating("/labels", rule("apiextensions.k8s.io:customresourcedefinitions", "CREATE"))
	definitions.NamespaceSelector, definitions.ObjectSelector = nil, hooks.selector()
	validate(t, namespace+"-definitions", nil, definitions)
	refused := served(t)
	refused.mutate = func(made *apiextensions.CustomResourceDefinition) {
		made.Labels = map[string]string{namespace: "true", "webhook": "disallow"}
	}
	_, err = kind.client.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), refused.build(unique("denied")), metav1.CreateOptions{})
	says(t, err, "the object contains an unwanted label")
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "nginx"}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "nginx", Image: "nginx"}}}},
	}}
}

func policyOf(name string, selector *metav1.LabelSelector, validations ...admissionregistration.Validation) *admissionregistration.ValidatingAdmissionPolicy {
	deployments := rule("apps:deployments", "CREATE", "UPDATE")
	deployments.APIVersions = []string{"v1"} // types are checked where nothing is a wildcard
	return &admissionregistration.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistration.ValidatingAdmissionPolicySpec{
		Validations: validations, MatchConstraints: &admissionregistration.MatchResources{NamespaceSelector: selector, ResourceRules: []admissionregistration.NamedRuleWithOperations{
			{RuleWithOperations: deployments}}},
	}}
}

// A policy's types are checked, and the status says so to clients that speak protobuf, too, where nothing was found.
func TestAdmissionPolicyTypes(t *testing.T) {
	t.Parallel()
	client := typed.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	checked := func(validation admissionregistration.Validation) []admissionregistration.ExpressionWarning {
		name := unique("policy-")
		_, err := client.Create(t.Context(), policyOf(name, nil, validation), metav1.CreateOptions{})
		must(t, err)
		t.Cleanup(func() { must(t, client.Delete(context.Background(), name, metav1.DeleteOptions{})) })
		var found []admissionregistration.ExpressionWarning
		eventually(t, "the types are checked", func(ctx context.Context) (bool, error) {
			read, err := client.Get(ctx, name, metav1.GetOptions{})
			if err != nil || read.Status.TypeChecking == nil {
				return false, err
			}
			found = read.Status.TypeChecking.ExpressionWarnings
			return true, nil
		})
		return found
	}
	equal(t, "warnings", len(checked(admissionregistration.Validation{Expression: "object.spec.replicas > 1"})), 0)
	confused := checked(admissionregistration.Validation{Expression: "object.spec.replicas > '1'", MessageExpression: "'got ' + object.spec.replicas"})
	if len(confused) != 2 {
		t.Fatalf("warnings: %v", confused)
	}
	equal(t, "place", confused[0].FieldRef, "spec.validations[0].expression")
	says(t, fmt.Errorf("%s", confused[0].Warning), "found no matching overload for '_>_' applied to '(int, string)'")
	equal(t, "place", confused[1].FieldRef, "spec.validations[0].messageExpression")
	says(t, fmt.Errorf("%s", confused[1].Warning), "found no matching overload for '_+_' applied to '(string, int)'")
}

// A policy with variables refuses with 422 in the namespaces of its binding; one that mutates adds what it says.
func TestAdmissionPolicies(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	_, err := typed.CoreV1().Namespaces().Patch(t.Context(), namespace, types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"metadata":{"labels":{%q:"true"}}}`, namespace), metav1.PatchOptions{})
	must(t, err)
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{namespace: "true"}}
	policy := policyOf(namespace, selector, admissionregistration.Validation{Expression: "variables.replicas > 1"}, admissionregistration.Validation{Expression: "variables.odd"})
	policy.Spec.Variables = []admissionregistration.Variable{{Name: "replicas", Expression: "object.spec.replicas"}, {Name: "odd", Expression: "variables.replicas % 2 == 1"}}
	client := typed.AdmissionregistrationV1()
	_, err = client.ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = client.ValidatingAdmissionPolicies().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	})
	matched := &admissionregistration.MatchResources{NamespaceSelector: selector}
	_, err = client.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistration.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: admissionregistration.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: namespace, MatchResources: matched, ValidationActions: []admissionregistration.ValidationAction{admissionregistration.Deny}},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = client.ValidatingAdmissionPolicyBindings().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	})
	expression := `Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}`
	_, err = client.MutatingAdmissionPolicies().Create(t.Context(), &admissionregistration.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: admissionregistration.MutatingAdmissionPolicySpec{
			MatchConstraints: policy.Spec.MatchConstraints, ReinvocationPolicy: admissionregistration.NeverReinvocationPolicy,
			Mutations: []admissionregistration.Mutation{{PatchType: admissionregistration.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionregistration.ApplyConfiguration{Expression: expression}}}},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = client.MutatingAdmissionPolicies().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	})
	_, err = client.MutatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistration.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: admissionregistration.MutatingAdmissionPolicyBindingSpec{PolicyName: namespace, MatchResources: matched},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = client.MutatingAdmissionPolicyBindings().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	})
	deployments := typed.AppsV1().Deployments(namespace)
	eventually(t, "the policy refuses", func(ctx context.Context) (bool, error) {
		_, err := deployments.Create(ctx, deployment(unique("marker-"), 1), metav1.CreateOptions{})
		if err != nil && !apierrors.IsInvalid(err) {
			return false, err
		}
		return err != nil, nil
	})
	eventually(t, "the policy mutates", func(ctx context.Context) (bool, error) {
		made, err := deployments.Create(ctx, deployment(unique("odd-"), 3), metav1.CreateOptions{})
		return err == nil && made.Annotations["mutated-by"] == "admission-policy", err
	})
}
