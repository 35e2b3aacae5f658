/* Tests of core/map: what is in it is found, whatever was taken out before. */
#include "tap.h"

#include "core/map.h"

typedef struct Named
{
	const char *name;
	size_t n;
} Named;

static const void *
name_of(const void *value, size_t *n)
{
	const Named *named = value;

	*n = named->n;
	return named->name;
}

#define NAMED(s) ((Named){(s), sizeof(s) - 1})

static void
test_integers(void)
{
	static const int64_t keys[] = {0, -1, 1, INT64_MIN, INT64_MAX,
								   INT64_C(1) << 32};
	int n = sizeof(keys) / sizeof(keys[0]);
	int values[6];
	Map map;
	bool found = true;

	map_init(&map, NULL);
	ok(map_get(&map, 0) == NULL && map_remove(&map, 0) == NULL,
	   "nothing is in an empty map");
	for (int i = 0; i < n; i++)
		map_put(&map, keys[i], &values[i]);
	for (int i = 0; i < n; i++)
		found &= map_get(&map, keys[i]) == &values[i];
	ok(found && map.count == 6, "every integer is a key");
	ok(map_remove(&map, 0) == &values[0] && map_get(&map, 0) == NULL &&
		   map.count == 5,
	   "what was removed is gone");
	ok(map_put(&map, 0, &values[1]) && map_get(&map, 0) == &values[1],
	   "its key can be used again");
	map_free(&map);
	ok(map.count == 0 && map_get(&map, 1) == NULL, "a map that is freed is empty");
	ok(map_put(&map, 1, &values[0]) && map_get(&map, 1) == &values[0],
	   "and can be used");
	map_free(&map);
}

static void
test_bytes(void)
{
	Named named[] = {NAMED(""), NAMED("a"), NAMED("a\0b"), NAMED("a\0c"),
					 NAMED("aa")};
	Map map;
	bool found = true;

	map_init_bytes(&map, name_of, NULL);
	for (int i = 0; i < 5; i++)
		map_put_bytes(&map, &named[i]);
	for (int i = 0; i < 5; i++)
		found &= map_get_bytes(&map, named[i].name, named[i].n) == &named[i];
	ok(found, "bytes are told apart, zero bytes and lengths included");
	ok(map_get_bytes(&map, "aaa", 3) == NULL, "others are not found");
	ok(map_remove_bytes(&map, "a\0b", 3) == &named[2] &&
		   map_get_bytes(&map, "a\0b", 3) == NULL &&
		   map_get_bytes(&map, "a\0c", 3) == &named[3],
	   "one is removed, its neighbour stays");
	map_free(&map);
}

static uint64_t
next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* Against an array: keys are few, so that runs of entries are long. */
static void
test_random(void)
{
	enum
	{
		KEYS = 3000,
		STEPS = 200000
	};
	static char present[KEYS];
	static int value;
	uint64_t state = 1;
	uint32_t count = 0;
	bool right = true;
	Map map;

	map_init(&map, NULL);
	for (int i = 0; i < STEPS; i++)
	{
		int64_t key = next_random(&state) % KEYS;

		right &= (map_get(&map, key) != NULL) == present[key];
		if (present[key])
		{
			right &= map_remove(&map, key) == &value;
			count--;
		}
		else
		{
			right &= map_put(&map, key, &value);
			count++;
		}
		present[key] = !present[key];
	}
	ok(right, "random changes: every answer is right");
	ok(map.count == count, "and so is the count");
	map_free(&map);
}

/* Every third is removed while it is visited. */
static void
test_visit(void)
{
	bool right = true;

	for (int n = 0; n < 200; n++)
	{
		int values[200];
		int visits[200] = {0};
		uint32_t left = 0;
		int *value;
		MapVisit visit = {0};
		Map map;

		map_init(&map, NULL);
		for (int i = 0; i < n; i++)
			map_put(&map, (int64_t) i * i * 977, &values[i]);
		while ((value = map_next(&map, &visit)) != NULL)
		{
			int i = (int) (value - values);

			visits[i]++;
			if (i % 3 != 0)
				map_remove(&map, (int64_t) i * i * 977);
			else
				left++;
		}
		for (int i = 0; i < n; i++)
			right &= visits[i] == 1;
		right &= map.count == left;
		map_free(&map);
	}
	ok(right, "a visit sees each value once, also when it removes them");
}

static bool
fill(void)
{
	static int value;
	Map map;
	bool good = true;

	map_init(&map, failing_realloc);
	for (int i = 0; good && i < 100; i++)
	{
		good = map_put(&map, i, &value);
		/* What is in stays in. */
		for (int k = 0; k < (good ? i + 1 : i); k++)
			good &= map_get(&map, k) == &value;
	}
	map_free(&map);
	return good;
}

static void
test_memory(void)
{
	static int value;
	Map map;

	check_out_of_memory(fill, "out of memory");
	map_init(&map, failing_realloc);
	ok(map_reserve(&map, 100), "room is made");
	failing_at = 1;
	failing_count = 0;
	for (int i = 0; i < 100; i++)
		map_put(&map, i, &value);
	failing_at = 0;
	ok(map.count == 100, "and then needs no memory");
	ok(!map_reserve(&map, MAP_MAX_ENTRIES + 1) && map.count == 100,
	   "more than a map can have are refused");
	map_free(&map);
}

int
main(void)
{
	test_integers();
	test_bytes();
	test_random();
	test_visit();
	test_memory();
	return done_testing();
}
