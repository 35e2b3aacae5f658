# Copyright (c) 2026, modal_batch contributors

# CREATE EXTENSION tells whoever has not had the library loaded at server start.

use strict;
use warnings FATAL => 'all';

use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = modal_node('main');
my $notice = qr/NOTICE:.*modal_batch is not loaded by the server yet.*\n(?:.*\n)*?HINT:.*"shared_preload_libraries".*restart/;

sub made { return (modal_psql($node, 'DROP EXTENSION IF EXISTS modal_batch CASCADE; CREATE EXTENSION modal_batch'))[2]; }

unlike(made(), $notice, 'a server that has loaded the library: nothing is said');
$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$node->restart;
like(made(), $notice, 'one that has not: what to do');
like((modal_psql($node, "LOAD 'modal_batch'; DROP EXTENSION modal_batch; CREATE EXTENSION modal_batch"))[2], $notice, 'also when the session has it');
unlike((modal_psql($node, "CREATE SERVER s FOREIGN DATA WRAPPER modal_batch; ALTER FOREIGN DATA WRAPPER modal_batch OWNER TO CURRENT_USER"))[2],
	$notice, 'but only then');
$node->stop;
done_testing();
