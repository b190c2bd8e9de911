package account_test

import (
	"slices"
	"testing"

	"countersign/internal/account"
	"countersign/internal/verify"
)

// TestWorkflowsDiffer: no two published workflows have the same channels, so a plan belongs
// to at most one of them, and each limit permits exactly its workflow.
func TestWorkflowsDiffer(t *testing.T) {
	t.Parallel()
	for id := 1; id <= account.WorkflowIDs; id++ {
		if len(account.Steps(id)) == 0 {
			t.Errorf("workflow %d has no steps", id)
		}
		for other := 1; other <= account.WorkflowIDs; other++ {
			if got := account.AllowsWorkflow(verify.Settings{Workflows: []int{id}}, other); got != (id == other) {
				t.Errorf("an account of workflow %d may use %d: %v", id, other, got)
			}
		}
	}
	for _, id := range []int{-1, 0, account.WorkflowIDs + 1} {
		if account.Steps(id) != nil || account.AllowsWorkflow(verify.Settings{Workflows: []int{1}}, id) {
			t.Errorf("there is a workflow %d", id)
		}
	}
}

// TestWorkflowOfAnotherAPI: the limit also applies to plans without a workflow id.
func TestWorkflowOfAnotherAPI(t *testing.T) {
	t.Parallel()
	a := newAsk()
	a.account.Settings.Workflows = []int{4}
	steps := account.Steps(4)
	steps[0].Wait *= 2
	for _, tt := range []struct {
		steps []verify.Step
		want  bool
	}{
		{steps, true},
		{steps[:1], false},
		{append(slices.Clone(steps), steps[0]), false},
		{[]verify.Step{steps[0], {Channel: verify.TTS}}, false},
	} {
		a.request.Workflow.Steps = tt.steps
		if got := a.decide().Refusals; (len(got) == 0) != tt.want {
			t.Errorf("%v: %v", tt.steps, got)
		}
	}
}

func TestDefaultWorkflow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		allowed []int
		want    int
	}{{nil, 1}, {[]int{1, 6}, 1}, {[]int{6, 3}, 3}, {[]int{7}, 7}} {
		if got := account.DefaultWorkflow(verify.Settings{Workflows: tt.allowed}); got != tt.want {
			t.Errorf("%v: %d", tt.allowed, got)
		}
	}
}
