/*-------------------------------------------------------------------------
 *
 * domain.c
 *	  The constraints of a domain, for a value of the type below it.
 *
 * PostgreSQL's domain_check() does the same, but wants a type with a binary
 * input function, for which it has no use there.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/expandeddatum.h"
#include "utils/typcache.h"
#include "values/decode.h"

struct DomainCheck
{
	DomainConstraintRef constraints;
	ExprContext *econtext; /* of CHECK constraints; NULL: not needed yet */
};

static DomainCheck *
create(Oid domain, MemoryContext cxt)
{
	DomainCheck *check = MemoryContextAllocZero(cxt, sizeof(DomainCheck));

	InitDomainConstraintRef(domain, &check->constraints, cxt, true);
	return check;
}

static bool
satisfies(DomainCheck *check, const DomainConstraintState *constraint,
		  Datum value, bool isnull)
{
	const TypeCacheEntry *type = check->constraints.tcache;
	ExprContext *econtext;

	if (check->econtext == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(check->constraints.refctx);

		check->econtext = CreateStandaloneExprContext();
		MemoryContextSwitchTo(old);
	}
	econtext = check->econtext;
	/* several may read it: none of them is to change it */
	econtext->domainValue_datum =
		MakeExpandedObjectReadOnly(value, isnull, type->typlen);
	econtext->domainValue_isNull = isnull;
	return ExecCheck(constraint->check_exprstate, econtext);
}

static void
check_constraint(DomainCheck *check, Oid domain,
				 const DomainConstraintState *constraint, Datum value, bool isnull)
{
	if (constraint->constrainttype == DOM_CONSTRAINT_NOTNULL)
	{
		if (isnull)
			ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
							errmsg("domain %s does not allow null values",
								   format_type_be(domain)),
							errdatatype(domain)));
	}
	else if (!satisfies(check, constraint, value, isnull))
		ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
						errmsg("value for domain %s violates check constraint \"%s\"",
							   format_type_be(domain), constraint->name),
						errdomainconstraint(domain, constraint->name)));
}

void
check_domain(DomainCheck **check, Oid domain, Datum value, bool isnull,
			 MemoryContext cxt)
{
	ListCell *lc;

	if (*check == NULL)
		*check = create(domain, cxt);
	/* they may have been altered */
	UpdateDomainConstraintRef(&(*check)->constraints);
	foreach (lc, (*check)->constraints.constraints)
		check_constraint(*check, domain, lfirst(lc), value, isnull);
	if ((*check)->econtext != NULL)
		ReScanExprContext((*check)->econtext);
}
