package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

type watchCall func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)

// follows is one watch from a version on, with a label: what the conformance tests wait on.
type follows struct {
	t       *testing.T
	version string
	watcher cache.Watcher
}

func follow(t *testing.T, version, selector string, call watchCall) follows {
	return follows{t, version, &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.LabelSelector = selector
		return call(ctx, options)
	}}}
}

// sees replays the changes since the version until one of the type (any, if empty) fits.
func (f follows) sees(what string, wanted watch.EventType, fits func(runtime.Object) bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	seen := []watch.EventType{}
	_, err := watchtools.Until(ctx, f.version, f.watcher, func(event watch.Event) (bool, error) {
		seen = append(seen, event.Type)
		return (wanted == "" || event.Type == wanted) && fits(event.Object), nil
	})
	if err != nil {
		f.t.Fatalf("%s: %v after %v", what, err, seen)
	}
}

// stream is a watch whose events are used up one by one.
type stream struct {
	t     *testing.T
	watch watch.Interface
}

func (s stream) next(what string, fits func(watch.Event) bool) watch.Event {
	s.t.Helper()
	for {
		select {
		case event, open := <-s.watch.ResultChan():
			if !open {
				s.t.Fatalf("%s: the watch ended", what)
			}
			if fits(event) {
				return event
			}
		case <-time.After(patience):
			s.t.Fatalf("%s: no such event", what)
		}
	}
}

func is(wanted watch.EventType) func(watch.Event) bool {
	return func(event watch.Event) bool { return event.Type == wanted }
}

// podsRun waits until exactly so many pods with the label run and are ready.
func podsRun(t *testing.T, namespace, selector string, wanted int) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	eventually(t, fmt.Sprintf("%d running pods of %s", wanted, selector), func(ctx context.Context) (bool, error) {
		listed, err := typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return false, err
		}
		pods = listed.Items
		return len(pods) == wanted && countReady(pods) == wanted, nil
	})
	return pods
}

func countReady(pods []corev1.Pod) int {
	count := 0
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning && podIs(pod, corev1.PodReady) {
			count++
		}
	}
	return count
}

func podIs(pod corev1.Pod, wanted corev1.PodConditionType) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == wanted {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
