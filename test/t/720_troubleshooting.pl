# Copyright (c) 2026, modal_batch contributors

# docs/troubleshooting.md: the messages that it explains are those of the
# sources, and its table of SQLSTATEs is that of src/errors.h.

use strict;
use warnings FATAL => 'all';

use File::Find;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{MODAL_TOP};
my $page = slurp_file("$top/docs/troubleshooting.md");
my $sources = '';

find(
	sub { $sources .= slurp_file($_) if /\.(c|h|py)$/ },
	"$top/src", "$top/local");
# as C has it: quotes escaped, and strings in pieces
$sources =~ s/\\"/"/g;
$sources =~ s/"\s*\n\s*"//g;

# Messages of others: PostgreSQL, the C library, curl, OpenSSL, nghttp2.
my %foreign = map { $_ => 1 } (
	'permission denied for foreign server', 'Connection refused', 'HTTP_1_1_REQUIRED',
	'Failed to connect', 'Could not resolve host', 'unable to set private key file',
	'no alternative certificate subject name matches',
	'unable to get local issuer certificate', 'self-signed certificate',
	'certificate has expired', 'hostname mismatch');
my $seen = 0;

for my $line (split /\n/, $page =~ s/\A.*?\n(?=## Setting up)//sr)
{
	my ($cell) = $line =~ /^\| ([^|]*) \|/ or next;
	for my $message ($cell =~ /`([^`]+)`/g)
	{
		next if $foreign{$message};
		$seen++;
		my @missing = grep { index($sources, $_) < 0 }
		  grep { length > 3 } map { s/^\s+|\s+$//gr } split /…/, $message;
		is("@missing", '', "\"$message\" is a message");
	}
}
cmp_ok($seen, '>', 30, 'the page has messages');

my %states = slurp_file("$top/src/errors.h") =~ /^#define MODAL_SQLSTATE_(\w+)\s+"(\w+)"/mg;
for my $name (sort keys %states)
{
	# for what cannot happen
	next if $name eq 'INTERNAL';
	like($page, qr/^\| `$states{$name}` \|/m, "SQLSTATE $states{$name} is explained");
}
done_testing();
