package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	extensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var counter atomic.Int64

// unique is a word that no other test of this run, or of an earlier one, has used.
func unique(prefix string) string {
	return fmt.Sprintf("%s%x%d", prefix, time.Now().UnixMilli()%0xffffff, counter.Add(1))
}

const anything = `{"type": "object", "x-kubernetes-preserve-unknown-fields": true}`

// definition describes a custom kind for a test: versions in order, the first one stored.
type definition struct {
	versions []apiextensions.CustomResourceDefinitionVersion
	scope    apiextensions.ResourceScope
	mutate   func(*apiextensions.CustomResourceDefinition)
}

func schemaOf(t *testing.T, text string) *apiextensions.CustomResourceValidation {
	t.Helper()
	validation := &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &apiextensions.JSONSchemaProps{}}
	must(t, json.Unmarshal([]byte(text), validation.OpenAPIV3Schema))
	return validation
}

func version(t *testing.T, name, schemaText string) apiextensions.CustomResourceDefinitionVersion {
	t.Helper()
	return apiextensions.CustomResourceDefinitionVersion{Name: name, Served: true, Schema: schemaOf(t, schemaText)}
}

func extensions(t *testing.T) *extensionsclient.Clientset {
	t.Helper()
	client, err := extensionsclient.NewForConfig(config)
	must(t, err)
	return client
}

func (d definition) build(word string) *apiextensions.CustomResourceDefinition {
	group := word + ".example.com"
	made := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: word + "s." + group},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: group,
			Scope: d.scope,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: word + "s", Singular: word, Kind: strings.ToUpper(word[:1]) + word[1:], ListKind: word + "List",
			},
			Versions: d.versions,
		},
	}
	if made.Spec.Scope == "" {
		made.Spec.Scope = apiextensions.NamespaceScoped
	}
	made.Spec.Versions[0].Storage = true
	if d.mutate != nil {
		d.mutate(made)
	}
	return made
}

// defined is a custom kind that is served.
type defined struct {
	*apiextensions.CustomResourceDefinition
	client *extensionsclient.Clientset
}

func (d defined) gvr(at int) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: d.Spec.Group, Version: d.Spec.Versions[at].Name, Resource: d.Spec.Names.Plural}
}

func (d defined) in(namespace string) dynamic.ResourceInterface {
	return dyn.Resource(d.gvr(0)).Namespace(namespace)
}

func (d defined) apiVersion() string { return d.gvr(0).GroupVersion().String() }

// define makes the kind and waits as the conformance fixtures do: Established, in discovery, and watchable.
func define(t *testing.T, d definition) defined {
	t.Helper()
	client := extensions(t)
	made, err := client.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), d.build(unique("kind")), metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		err := client.ApiextensionsV1().CustomResourceDefinitions().Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	kind := defined{made, client}
	eventually(t, "the definition is established", func(ctx context.Context) (bool, error) {
		read, err := client.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, made.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range read.Status.Conditions {
			if condition.Type == apiextensions.Established && condition.Status == apiextensions.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	for at, version := range made.Spec.Versions {
		if !version.Served {
			continue
		}
		eventually(t, "the kind is in discovery", func(context.Context) (bool, error) {
			list, err := typed.Discovery().ServerResourcesForGroupVersion(kind.gvr(at).GroupVersion().String())
			if err != nil {
				return found(err)
			}
			return len(list.APIResources) > 0, nil
		})
		follow, err := dyn.Resource(kind.gvr(at)).Watch(t.Context(), metav1.ListOptions{})
		must(t, err)
		follow.Stop()
	}
	return kind
}
