package suite

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/util/retry"
)

func deploymentConfiguration(name string) *appsapply.DeploymentApplyConfiguration {
	labels := map[string]string{"app": name}
	return appsapply.Deployment(name, "").WithLabels(labels).WithSpec(appsapply.DeploymentSpec().
		WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).WithSpec(coreapply.PodSpec().
			WithContainers(coreapply.Container().WithName("c").WithImage("pause:1")))))
}

// Typed apply configurations: create, change, conflict, force, give up, extract.
func TestApplyTyped(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().Deployments(namespace)
	first := metav1.ApplyOptions{FieldManager: "first"}
	wanted := deploymentConfiguration("web").WithNamespace(namespace)
	wanted.Spec.WithReplicas(0)
	made, err := client.Apply(t.Context(), wanted, first)
	must(t, err)
	again, err := client.Apply(t.Context(), wanted, first)
	must(t, err)
	equal(t, "an apply that changes nothing", again.Generation, made.Generation)
	other := appsapply.Deployment("web", namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(1))
	_, err = client.Apply(t.Context(), other, metav1.ApplyOptions{FieldManager: "second"})
	check(t, apierrors.IsConflict(err), "conflict: %v", err)
	says(t, err, `Apply failed with 1 conflict: conflict with "first": .spec.replicas`)
	forced, err := client.Apply(t.Context(), other, metav1.ApplyOptions{FieldManager: "second", Force: true})
	must(t, err)
	equal(t, "replicas", *forced.Spec.Replicas, 1)
	extracted, err := appsapply.ExtractDeployment(forced, "second")
	must(t, err)
	check(t, *extracted.Spec.Replicas == 1 && extracted.Spec.Template == nil, "extracted %v", extracted)
	given, err := client.Apply(t.Context(), appsapply.Deployment("web", namespace), metav1.ApplyOptions{FieldManager: "second"})
	must(t, err)
	equal(t, "replicas that nobody wants", *given.Spec.Replicas, 1)
}

// Fields that two managers share stay until both gave them up; a list item goes with its last owner.
func TestApplyShared(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.CoreV1().Services(namespace)
	service := func(ports ...int32) *coreapply.ServiceApplyConfiguration {
		spec := coreapply.ServiceSpec()
		for _, port := range ports {
			spec.WithPorts(coreapply.ServicePort().WithName("p" + string(rune('a'+port%26))).WithPort(port).WithProtocol(corev1.ProtocolTCP))
		}
		return coreapply.Service("s", namespace).WithSpec(spec)
	}
	_, err := client.Apply(t.Context(), service(80), metav1.ApplyOptions{FieldManager: "one"})
	must(t, err)
	both, err := client.Apply(t.Context(), service(80, 81), metav1.ApplyOptions{FieldManager: "two"})
	must(t, err)
	equal(t, "ports", len(both.Spec.Ports), 2)
	left, err := client.Apply(t.Context(), service(81), metav1.ApplyOptions{FieldManager: "two"})
	must(t, err)
	equal(t, "ports that one still wants", len(left.Spec.Ports), 2)
	gone, err := client.Apply(t.Context(), service(81), metav1.ApplyOptions{FieldManager: "one", Force: true})
	must(t, err)
	equal(t, "ports at the end", len(gone.Spec.Ports), 1)
}

// Status is applied under its own managers; a subresource never owns the rest.
func TestApplyStatus(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	client := typed.AppsV1().Deployments(namespace)
	wanted := deploymentConfiguration("web").WithNamespace(namespace)
	wanted.Spec.WithReplicas(0)
	_, err := client.Apply(t.Context(), wanted, metav1.ApplyOptions{FieldManager: "spec"})
	must(t, err)
	condition := appsapply.DeploymentCondition().WithType("Custom").WithStatus(corev1.ConditionTrue).WithReason("R").WithMessage("m")
	status := appsapply.Deployment("web", namespace).WithStatus(appsapply.DeploymentStatus().WithConditions(condition))
	applied, err := client.ApplyStatus(t.Context(), status, metav1.ApplyOptions{FieldManager: "status"})
	must(t, err)
	isThere := false
	for _, one := range applied.Status.Conditions {
		isThere = isThere || one.Type == "Custom"
	}
	check(t, isThere, "conditions %v", applied.Status.Conditions)
	for _, entry := range applied.ManagedFields {
		if entry.Manager == "status" {
			equal(t, "subresource", entry.Subresource, "status")
			check(t, !strings.Contains(string(entry.FieldsV1.Raw), "f:spec"), "fields %s", entry.FieldsV1.Raw)
		}
	}
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		scale, err := client.GetScale(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		scale.Spec.Replicas = 1
		_, err = client.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{FieldManager: "scaler"})
		return err
	}))
	_, err = client.Apply(t.Context(), wanted, metav1.ApplyOptions{FieldManager: "spec"})
	check(t, apierrors.IsConflict(err), "apply over a scale: %v", err)
	says(t, err, `conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas`)
}

func TestApplyUnknownFields(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"` + namespace + `"},"dat":{}}`
	_, err := typed.CoreV1().ConfigMaps(namespace).Patch(t.Context(), "a", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "m"})
	says(t, err, "failed to create typed patch object ("+namespace+"/a; /v1, Kind=ConfigMap): .dat: field not declared in schema")
}

// Custom objects: lists by key, preserved unknown fields, and a manager that changes kind of write.
func TestApplyCustom(t *testing.T) {
	t.Parallel()
	namespace := makeNamespace(t)
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", cronSchema)}})
	client := kind.in(namespace)
	apply := func(manager, body string, force bool) error {
		full := `{"apiVersion":"` + kind.apiVersion() + `","kind":"` + kind.Spec.Names.Kind + `","metadata":{"name":"a"},"spec":` + body + `}`
		_, err := client.Patch(t.Context(), "a", types.ApplyPatchType, []byte(full), metav1.PatchOptions{FieldManager: manager, Force: pointer(force)})
		return err
	}
	must(t, apply("one", `{"cronSpec":"* * * * */5","ports":[{"containerPort":80,"protocol":"TCP","name":"x"}]}`, false))
	says(t, apply("two", `{"ports":[{"containerPort":80,"protocol":"TCP","name":"y"}]}`, false),
		`conflict with "one": .spec.ports[containerPort=80,protocol="TCP"].name`)
	must(t, apply("two", `{"ports":[{"containerPort":8080,"protocol":"TCP","name":"y"}]}`, false))
	says(t, apply("two", `{"ports":[{"containerPort":8080}]}`, true), "protocol")
	read, err := client.Get(t.Context(), "a", metav1.GetOptions{})
	must(t, err)
	ports := read.Object["spec"].(map[string]any)["ports"].([]any)
	equal(t, "ports", len(ports), 2)
	says(t, apply("one", `{"cronSpec":"wrong"}`, false), "spec.cronSpec")
}
