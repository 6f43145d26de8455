// Package suite asks a server for what Kubernetes' conformance tests ask, with client-go as it comes.
//
// tests/clients/test_go_suite.py builds it once and runs it against `mkube server --container-runtime fake`.
package suite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	config *rest.Config
	typed  *kubernetes.Clientset
	dyn    *dynamic.DynamicClient
)

// patience bounds every wait, so that a wrong answer fails instead of hanging.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "file with the server and its credentials")
	flag.Parse()
	if *kubeconfig == "" { // -test.list asks no server
		os.Exit(m.Run())
	}
	loaded, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	loaded.QPS = -1
	config = loaded
	typed = kubernetes.NewForConfigOrDie(config)
	dyn = dynamic.NewForConfigOrDie(config)
	os.Exit(m.Run())
}

// makeNamespace makes a namespace as the conformance framework does: it waits for what controllers put there, and it is
// deleted at the end of the test.
func makeNamespace(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	made, err := typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "suite-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "privileged", "suite": "run"},
	}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		err := typed.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	eventually(t, "default service account", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().ServiceAccounts(made.Name).Get(ctx, "default", metav1.GetOptions{})
		return found(err)
	})
	eventually(t, "kube-root-ca.crt", func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().ConfigMaps(made.Name).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return found(err)
	})
	return made.Name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, holds bool, format string, arguments ...any) {
	t.Helper()
	if !holds {
		t.Errorf(format, arguments...)
	}
}

func equal[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s is %v, not %v", what, got, wanted)
	}
}

// found tells a missing object from a failed request.
func found(err error) (bool, error) {
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// gone is the opposite of found.
func gone(err error) (bool, error) {
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

func eventually(t *testing.T, what string, condition wait.ConditionWithContextFunc) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, condition)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func pointer[T any](value T) *T { return &value }
