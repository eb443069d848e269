//! Which disruption budgets there are.

use std::collections::HashSet;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;

use super::State;
use crate::scheduler::preemption::Budget;

/// A disruption budget's namespace and name.
pub type BudgetKey = (String, String);

impl State {
    /// Takes in a disruption budget that is new or changed; one that is of no pods is as good as gone.
    pub fn budget_changed(&mut self, budget: &PodDisruptionBudget) {
        match Budget::read(budget) {
            Some(read) => {
                self.budgets.insert(budget_key(budget), read);
            }
            None => self.budget_gone(budget),
        }
    }

    /// Forgets a disruption budget.
    pub fn budget_gone(&mut self, budget: &PodDisruptionBudget) {
        self.budgets.remove(&budget_key(budget));
    }

    /// Forgets every disruption budget that a complete list did not have.
    pub fn keep_budgets(&mut self, listed: &HashSet<BudgetKey>) {
        self.budgets.retain(|key, _| listed.contains(key));
    }
}

/// Tells a budget from every other.
pub fn budget_key(budget: &PodDisruptionBudget) -> BudgetKey {
    (budget.namespace().unwrap_or_default(), budget.name_any())
}
