/*-------------------------------------------------------------------------
 *
 * assets.c
 *	  The files of the console, which are in the program.
 *
 *-------------------------------------------------------------------------
 */
#include "console/assets.h"

#include <string.h>

#define FILE_(name, file) \
	__asm__(".section .rodata\n" \
			".globl console_" #name "\nconsole_" #name ":\n" \
			".incbin \"console/" file "\"\n" \
			".globl console_" #name "_end\nconsole_" #name "_end:\n" \
			".byte 0\n" \
			".previous\n"); \
	extern const char console_##name[]; \
	extern const char console_##name##_end[]

FILE_(index, "index.html");
FILE_(style, "style.css");
FILE_(icon, "icon.svg");
FILE_(app, "app.js");
FILE_(dom, "dom.js");
FILE_(functions, "functions.js");
FILE_(calls, "calls.js");
FILE_(machine, "machine.js");

#define SCRIPT "text/javascript; charset=utf-8"

static const struct
{
	const char *name;
	const char *type;
	const char *start;
	const char *end;
} files[] = {
	{"index.html", "text/html; charset=utf-8", console_index,
	 console_index_end},
	{"style.css", "text/css; charset=utf-8", console_style, console_style_end},
	{"icon.svg", "image/svg+xml", console_icon, console_icon_end},
	{"app.js", SCRIPT, console_app, console_app_end},
	{"dom.js", SCRIPT, console_dom, console_dom_end},
	{"functions.js", SCRIPT, console_functions, console_functions_end},
	{"calls.js", SCRIPT, console_calls, console_calls_end},
	{"machine.js", SCRIPT, console_machine, console_machine_end},
};

const Asset *
asset_find(const char *name, size_t len)
{
	static Asset found;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strlen(files[i].name) == len &&
			memcmp(files[i].name, name, len) == 0)
		{
			found = (Asset){files[i].name, files[i].type, files[i].start,
							(size_t) (files[i].end - files[i].start)};
			return &found;
		}
	return NULL;
}
