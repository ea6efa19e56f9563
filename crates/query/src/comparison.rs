//! Intervals are compared by their length.
//!
//! `current_timestamp - eventtime < INTERVAL '2' DAY` compares months, days and nanoseconds
//! one after the other in Arrow: a difference has no days, however long it is, and so is
//! less. Both sides of such a comparison become their length (`functions::time::interval`),
//! once the planner has found out their types.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Between;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::interval_length;

/// The rule.
#[derive(Debug)]
pub(crate) struct ByLength {
    length: ScalarUDF,
}

impl Default for ByLength {
    fn default() -> Self {
        Self { length: interval_length() }
    }
}

impl AnalyzerRule for ByLength {
    fn name(&self) -> &'static str {
        "intervals_by_length"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let analyzed = plan.transform_up_with_subqueries(|plan| {
            let inputs = plan.inputs();
            let schema = match inputs.is_empty() {
                true => plan.schema().as_ref().clone(),
                false => merge_schema(&inputs),
            };
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| self.rewrite(expr, &schema))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        });
        Ok(analyzed?.data)
    }
}

impl ByLength {
    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let is_interval = |expr: &Expr| {
            Ok::<_, datafusion::error::DataFusionError>(matches!(
                expr.get_type(schema)?,
                DataType::Interval(_)
            ))
        };
        let length = |expr: Box<Expr>| Box::new(self.length.call(vec![*expr]));
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if compares(op) && (is_interval(&left)? || is_interval(&right)?) =>
            {
                let (left, right) = (length(left), length(right));
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            Expr::Between(Between { expr, negated, low, high }) if is_interval(&expr)? => {
                let (expr, low, high) = (length(expr), length(low), length(high));
                Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
