# Copyright (c) 2026, modal_batch contributors

# docs/settings.md lists every setting and every option, and no others.

use strict;
use warnings FATAL => 'all';

use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $text  = slurp_file("$ENV{MODAL_TOP}/docs/settings.md");
my $table = slurp_file("$ENV{MODAL_TOP}/src/endpoint/options.c");

# The words of the cells of a section's tables, by the names in the first cell.
sub documented
{
	my ($title) = @_;
	my ($section) = $text =~ /^## \Q$title\E\n(.*?)(?=^## |\z)/ms
	  or die "no section \"$title\"";
	my %rows;

	for my $line (grep { /^\| `/ } split /\n/, $section)
	{
		my (undef, $names, @cells) = split /\s*\|\s*/, $line;
		$rows{$_} = \@cells for $names =~ /`(\w[\w.]*)`/g;
	}
	return \%rows;
}

# How a context is called in the documentation.
my %who = (
	postmaster => 'server start',
	sighup     => 'configuration file',
	superuser  => 'superuser',
	user       => 'any session');

my $node     = modal_node('main');
my $settings = documented('Configuration');
my @known    = split /\n/,
  $node->safe_psql(
	'postgres', q{
	SELECT concat_ws('|', name, current_setting(name), context)
	FROM pg_settings
	WHERE name LIKE 'modal_batch.%' AND name NOT LIKE 'modal_batch.debug%'
	ORDER BY name});

is_deeply(
	[ sort keys %$settings ],
	[ map { (split /\|/)[0] } @known ],
	'settings that are documented are those that exist');
for (@known)
{
	my ($name, $value, $context) = split /\|/;
	my ($default, $changed_by) = @{ $settings->{$name} // [ '', '' ] };

	is($default, $value eq '' ? 'empty' : "`$value`", "default of $name");
	is($changed_by, $who{$context}, "who may change $name");
}

for ([ 'Options of servers', 'SERVER' ], [ 'Options of user mappings', 'MAPPING' ])
{
	my ($title, $catalog) = @$_;
	my $options = documented($title);

	is_deeply(
		[ sort keys %$options ],
		[ sort $table =~ /^\t\{"(\w+)", $catalog,/mg ],
		"$title that are documented are those that exist");
}

# The mark for superusers.
is_deeply(
	[
		sort map { /`(\w+)`/g } $text =~ /^\|([^|]*) ✱ \|/mg
	],
	[ sort $table =~ /^\t\{"(\w+)", SERVER,[^\n]*, true, (?:true|false)\},/mg ],
	'options marked for superusers are those that only superusers may give');

$node->stop;
done_testing();
