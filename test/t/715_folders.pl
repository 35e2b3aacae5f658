# Copyright (c) 2026, modal_batch contributors

# What makes a folder, and removes it, leaves alone what is another's.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

my $top    = $ENV{MODAL_TOP};
my $folder = PostgreSQL::Test::Utils::tempdir();

append_to_file("$folder/env", "PASSWORD=secret\n");
mkdir "$folder/photographs";
command_fails_like([ "$top/quickstart", '--dir', $folder ],
	qr/has other files in it/, 'no cluster is made in a folder with other files');
command_fails_like([ "$top/quickstart", 'stop', '--dir', $folder ],
	qr/nothing runs in/, 'and none stopped');
is_deeply([ sort(slurp_dir($folder)) ], [qw(. .. env photographs)], 'all of it is still there');

done_testing();
