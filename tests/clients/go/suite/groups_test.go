package suite

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func TestDiscoveryVersion(t *testing.T) {
	t.Parallel()
	version, err := typed.Discovery().ServerVersion()
	must(t, err)
	for _, part := range []string{version.Major, version.Minor} {
		_, err := strconv.Atoi(part)
		check(t, err == nil, "%q is no number", part)
	}
	check(t, strings.HasPrefix(version.GitVersion, "v1.37."), "git version %s", version.GitVersion)
	check(t, version.Platform != "" && version.GoVersion != "" && version.BuildDate != "", "incomplete: %v", version)
}

// The list of groups, each group's document, and the preferred version in both.
func TestDiscoveryGroups(t *testing.T) {
	t.Parallel()
	var list metav1.APIGroupList
	must(t, typed.Discovery().RESTClient().Get().AbsPath("/apis/").SetHeader("Accept", "application/json").Do(t.Context()).Into(&list))
	check(t, len(list.Groups) > 15, "%d groups", len(list.Groups))
	for _, group := range list.Groups {
		if strings.HasSuffix(group.Name, "example.com") { // another test's, which comes and goes
			continue
		}
		var alone metav1.APIGroup
		must(t, typed.Discovery().RESTClient().Get().AbsPath("/apis/"+group.Name).Do(t.Context()).Into(&alone))
		equal(t, "preferred version of "+group.Name, alone.PreferredVersion.GroupVersion, group.PreferredVersion.GroupVersion)
		check(t, slices.ContainsFunc(alone.Versions, func(v metav1.GroupVersionForDiscovery) bool {
			return v == alone.PreferredVersion
		}), "%s prefers a version that it does not have", group.Name)
		for _, version := range group.Versions {
			_, err := typed.Discovery().ServerResourcesForGroupVersion(version.GroupVersion)
			must(t, err)
		}
	}
}

func has(list apidiscovery.APIGroupDiscoveryList, gvr schema.GroupVersionResource) bool {
	for _, group := range list.Items {
		for _, version := range group.Versions {
			for _, resource := range version.Resources {
				if group.Name == gvr.Group && version.Version == gvr.Version && resource.Resource == gvr.Resource {
					return true
				}
			}
		}
	}
	return false
}

func aggregatedAt(t *testing.T, path string) apidiscovery.APIGroupDiscoveryList {
	t.Helper()
	raw, err := typed.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", aggregated).Do(t.Context()).Raw()
	must(t, err)
	var list apidiscovery.APIGroupDiscoveryList
	must(t, json.Unmarshal(raw, &list))
	return list
}

func TestDiscoveryAggregated(t *testing.T) {
	t.Parallel()
	groups, legacy := aggregatedAt(t, "/apis"), aggregatedAt(t, "/api")
	_, resources, failed, err := discovery.NewDiscoveryClientForConfigOrDie(config).GroupsAndMaybeResources()
	must(t, err)
	equal(t, "failed groups", len(failed), 0)
	for _, row := range readRows(t) {
		gvr := row.gvr()
		list := groups
		if gvr.Group == "" {
			list = legacy
		}
		check(t, has(list, gvr), "%v is missing", gvr)
		found := resources[gvr.GroupVersion()]
		check(t, found != nil && slices.ContainsFunc(found.APIResources, func(r metav1.APIResource) bool {
			return r.Name == gvr.Resource && r.Namespaced == row.Namespaced && slices.Contains(r.Verbs, "list")
		}), "the client sees no %v", gvr)
	}
}

func TestDiscoveryFollowsDefinitions(t *testing.T) {
	t.Parallel()
	kind := define(t, definition{versions: []apiextensions.CustomResourceDefinitionVersion{version(t, "v1", anything)}})
	eventually(t, "in aggregated discovery", func(context.Context) (bool, error) { return has(aggregatedAt(t, "/apis"), kind.gvr(0)), nil })
	client := discovery.NewDiscoveryClientForConfigOrDie(config)
	_, resources, _, err := client.GroupsAndMaybeResources()
	must(t, err)
	check(t, resources[kind.gvr(0).GroupVersion()] != nil, "the client does not see it")
	must(t, kind.client.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), kind.Name, metav1.DeleteOptions{}))
	eventually(t, "gone from discovery", func(context.Context) (bool, error) { return !has(aggregatedAt(t, "/apis"), kind.gvr(0)), nil })
}

// The document has an ETag, and a client that knows it gets 304.
func TestDiscoveryIsCached(t *testing.T) {
	t.Parallel()
	transport, err := rest.TransportFor(config)
	must(t, err)
	get := func(etag string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+"/api", nil)
		must(t, err)
		request.Header.Set("Accept", aggregated)
		if etag != "" {
			request.Header.Set("If-None-Match", etag)
		}
		answer, err := transport.RoundTrip(request)
		must(t, err)
		must(t, answer.Body.Close())
		return answer
	}
	first := get("")
	check(t, first.Header.Get("Etag") != "", "no ETag")
	equal(t, "second answer", get(first.Header.Get("Etag")).StatusCode, http.StatusNotModified)
	equal(t, "vary", first.Header.Get("Vary"), "Accept")
}

func TestDiscoveryHealth(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/healthz", "/livez", "/readyz", "/readyz/ping", "/livez?verbose"} {
		request := typed.Discovery().RESTClient().Get().RequestURI(path)
		raw, err := request.Do(t.Context()).Raw()
		must(t, err)
		check(t, strings.Contains(string(raw), "ok"), "%s says %s", path, raw)
	}
}

// Virtual resources can't be shown as tables: 406, and the reason says so.
func TestTableOfReviewIsRefused(t *testing.T) {
	t.Parallel()
	err := typed.AuthorizationV1().RESTClient().Post().Resource("selfsubjectaccessreviews").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		Body([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`)).
		Do(t.Context()).Error()
	status, isStatus := err.(apierrors.APIStatus)
	if !isStatus {
		t.Fatal(err)
	}
	equal(t, "code", status.Status().Code, int32(http.StatusNotAcceptable))
}
