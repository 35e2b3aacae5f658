/*
 * What cppcheck has to know of the server's macros, whose headers it does not
 * read: loops, and that errors do not return.  See Makefile.
 */
extern _Noreturn void abort(void);

#define ERROR 21
#define ereport(level, ...) \
	do { (void) (__VA_ARGS__); if ((level) >= ERROR) abort(); } while (0)
#define elog(level, ...) \
	do { (void) (__VA_ARGS__); if ((level) >= ERROR) abort(); } while (0)

#define CppAsString2(x) #x

#define foreach(cell, list) \
	for ((cell) = list_head(list); (cell) != NULL; (cell) = lnext(list, cell))
#define forboth(cell1, list1, cell2, list2) \
	for ((cell1) = list_head(list1), (cell2) = list_head(list2); \
		 (cell1) != NULL && (cell2) != NULL; \
		 (cell1) = lnext(list1, cell1), (cell2) = lnext(list2, cell2))
#define dlist_foreach(iter, list) \
	for ((iter).cur = dlist_head(list); (iter).cur != NULL; (iter).cur = (iter).cur->next)
#define dlist_foreach_modify(iter, list) dlist_foreach(iter, list)
